"use strict";

// A file of its own, because the content security policy allows no script inside a page.
const place = document.getElementById("swagger-ui");

window.ui = SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  // Asking an outside validator would tell it where this installation is.
  validatorUrl: null,
});
