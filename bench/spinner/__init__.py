"""An app with the handlers that the engines are measured with."""
