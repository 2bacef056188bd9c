"""What each fault test is about, for the table at the end: the faults that the promise must survive."""

from __future__ import annotations

CASES = {
    1: "one of two schedulers is killed",
    2: "workers are killed again and again",
    3: "a worker stands still past its lease",
    4: "output that no database takes",
    8: "the database crashes and comes back",
    9: "a half-open connection",
    12: "three days without a scheduler",
    13: "clock changes of zones",
    14: "four schedulers start at once",
    15: "a host's clock is wrong",
    16: "work that kills its worker",
    22: "no connection is left",
    23: "graceful stops under load",
    24: "one at a time, and verbs that race the planner",
    25: "notifications are lost",
    26: "a process stands still inside a transaction",
    27: "deadlocks and cancelled statements",
    34: "the line is cut, also at COMMIT",
    35: "a long history and its purge",
    36: "SQLite is killed amid writes",
    37: "the database's clock jumps",
    41: "somebody holds rows and does not let go",
}
CRASH_POINTS, DEFECTS, NEMESIS = "a crash at every commit", "a seeded defect", "ten minutes of random harm"

BY_TEST: dict[str, int | str] = {
    "test_a_job_that_somebody_holds_keeps_its_own_endings_back_and_no_other": 41,
    "test_a_run_whose_row_somebody_holds_keeps_its_lease_and_the_others_theirs": 41,
    "test_limits_that_somebody_is_changing_count_as_before_and_hold_nobody_up": 41,
    "test_a_crowd_that_somebody_holds_at_the_front_starves_nobody": 41,
    "test_a_process_that_cannot_reach_its_database_stops_in_time": 23,
    "test_a_killed_scheduler_loses_nothing": 1,
    "test_of_5000_due_executions_all_succeed_when_one_of_two_schedulers_is_killed": 1,
    "test_a_lone_scheduler_that_is_started_again_takes_up_what_it_left": 1,
    "test_twenty_kills_with_many_runs_in_flight_leave_nothing_stuck": 2,
    "test_a_worker_that_stood_still_past_its_lease_changes_nothing": 3,
    "test_a_strange_answer_costs_one_call_and_holds_up_nobody": 4,
    "test_one_row_that_python_cannot_read_does_not_stop_the_others": 4,
    "test_a_crashed_database_is_found_again_without_a_restart": 8,
    "test_a_half_open_connection_is_given_up_and_another_worker_takes_over": 9,
    "test_after_three_days_down_each_job_gets_what_its_policy_says": 12,
    "test_clock_changes_neither_double_nor_drop_a_run_when_two_schedulers_plan": 13,
    "test_four_schedulers_of_one_second_have_four_names_and_share_the_work": 14,
    "test_a_host_whose_clock_is_wrong_runs_nothing_early_twice_or_late": 15,
    "test_work_that_kills_its_worker_is_given_up_after_three_recoveries": 16,
    "test_work_in_a_process_of_its_own_dies_alone": 16,
    "test_the_process_of_an_isolated_handler_does_not_outlive_its_scheduler": 16,
    "test_a_handler_that_raises_what_nobody_catches_keeps_its_slot_and_ends": 16,
    "test_when_no_connection_is_left_nobody_dies_and_work_goes_on_soon_after": 22,
    "test_the_number_of_connections_stays_within_the_pool_and_does_not_grow": 22,
    "test_a_rolling_deployment_calls_nothing_twice": 23,
    "test_ten_rolling_deployments_call_nothing_twice": 23,
    "test_what_outlasts_the_grace_is_given_back_at_once": 23,
    "test_a_process_that_is_asked_to_stop_while_it_starts_leaves_in_peace": 23,
    "test_a_second_signal_ends_a_process_at_once_and_loses_nothing": 23,
    "test_a_failure_on_the_way_out_does_not_keep_a_process": 23,
    "test_a_job_that_runs_one_at_a_time_does_so_while_workers_die_and_stand_still": 24,
    "test_nothing_is_planned_after_the_answer_to_a_pause_or_a_delete": 24,
    "test_edits_that_race_the_planner_leave_no_fire_time_without_an_answer": 24,
    "test_moves_by_sql_that_race_the_planner_leave_no_fire_time_without_an_answer": 24,
    "test_a_fire_time_that_sql_sets_back_is_not_run_again": 24,
    "test_losing_every_notification_costs_a_poll_and_nothing_else": 25,
    "test_a_process_that_stands_still_inside_a_transaction_holds_nobody_up_for_long": 26,
    "test_a_stranger_who_locks_rows_in_the_wrong_order_kills_no_process": 27,
    "test_pausing_everything_at_once_and_claims_do_not_get_into_each_others_way": 27,
    "test_a_commit_whose_answer_was_lost_is_read_again_and_not_assumed": 34,
    "test_a_line_that_is_cut_and_slow_loses_nothing": 34,
    "test_a_claim_is_taken_over_within_lease_and_poll_when_the_line_of_its_worker_is_refused": 34,
    "test_a_long_history_and_its_purge_do_not_hold_up_the_claims": 35,
    "test_a_file_survives_kills_in_the_middle_of_writing": 36,
    "test_a_file_survives_fifty_kills_in_the_middle_of_writing": 36,
    "test_a_database_clock_that_jumps_ends_nothing_twice_and_leaves_no_lease_behind": 37,
    "test_a_lease_that_the_clock_left_far_ahead_is_taken_over": 37,
    "test_a_process_that_dies_anywhere_loses_and_doubles_nothing": CRASH_POINTS,
    "test_a_step_that_fails_anywhere_is_done_again_by_the_same_process": CRASH_POINTS,
    "test_a_fault_that_is_misspelt_stops_the_start": CRASH_POINTS,
    "test_a_seeded_defect_is_caught_within_three_runs": DEFECTS,
    "test_without_the_defect_the_same_run_is_clean": DEFECTS,
    "test_ten_minutes_of_random_harm_lose_and_double_nothing": NEMESIS,
}


def case_of(test: str) -> str:
    """The case of a test in words, with its number where it has one; itself where it has none."""
    name, _, variant = test.partition("[")
    case = BY_TEST.get(name, name)
    words = f"{case} {CASES[case]}" if isinstance(case, int) else case
    return f"{words} [{variant}" if variant else words


def place_of(test: str) -> tuple[int, str]:
    """Sorts the table by case."""
    case = BY_TEST.get(test.partition("[")[0], test)
    return (case, test) if isinstance(case, int) else (1000, f"{case}{test}")
