"""The pages of jobs and of what hangs on them: tags, calendars, queues, dependencies, the audit."""

from jobs.admin import calendars as calendars
from jobs.admin import dependencies as dependencies
from jobs.admin import history as history
from jobs.admin import jobs as jobs
from jobs.admin import queues as queues
from jobs.admin import tags as tags
