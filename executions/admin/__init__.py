"""The pages of executions, dead letters and the processes that run them; and the dashboard's figures."""

from executions.admin import dead_letters as dead_letters
from executions.admin import executions as executions
from executions.admin import instances as instances
from executions.admin import requeues as requeues
