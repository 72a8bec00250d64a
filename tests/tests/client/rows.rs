//! What the Java client does, row by row, and the tests that show that this client does it. A row without a test, and a test
//! that is gone, is a failure.

/// Chapter, behaviour, and its tests: here or at the foot of the client's modules.
const ROWS: &[(&str, &str, &[&str])] = &[
    (
        "server list",
        "fixed addresses: separators, schemes, default port",
        &[
            "addresses_are_read_as_the_java_client_reads_them",
            "settings_that_cannot_be_used_are_refused",
        ],
    ),
    (
        "server list",
        "the address server is asked five times at start",
        &["an_address_server_without_a_list_is_asked_five_times"],
    ),
    (
        "server list",
        "it is asked again and again; an empty answer keeps the list",
        &["a_server_that_leaves_the_list_is_left_and_an_empty_list_changes_nothing"],
    ),
    (
        "server list",
        "a server that left the list is left",
        &["a_server_that_leaves_the_list_is_left_and_an_empty_list_changes_nothing"],
    ),
    (
        "server list",
        "turns from a drawn start; the next one on failure",
        &[
            "the_first_server_is_drawn_and_then_each_has_its_turn",
            "the_next_server_is_asked_when_one_is_gone",
        ],
    ),
    (
        "server list",
        "the only server is asked three times over HTTP",
        &["the_only_server_is_asked_three_times_over_http"],
    ),
    (
        "connection",
        "without any server a client starts and goes on trying",
        &["without_any_server_a_client_starts_and_goes_on_trying"],
    ),
    (
        "connection",
        "silence is checked; who is not well is given up",
        &["a_silent_connection_is_checked_and_given_up_when_it_is_not_well"],
    ),
    (
        "connection",
        "an ended stream makes it be made anew",
        &["after_a_restart_of_the_server_everything_is_said_again"],
    ),
    (
        "connection",
        "301 makes it be made anew",
        &["a_connection_that_the_server_does_not_know_is_made_anew"],
    ),
    (
        "connection",
        "requests that fail make it be checked",
        &["a_request_without_an_answer_makes_the_connection_be_checked"],
    ),
    (
        "connection",
        "a reset goes to the server that is named",
        &["a_connection_that_is_reset_goes_to_the_server_that_is_named"],
    ),
    (
        "connection",
        "the next server is taken, and told everything",
        &["when_a_server_is_gone_the_next_is_taken_and_told_everything"],
    ),
    (
        "connection",
        "check, set-up, then the rest; one connection for each module",
        &["a_connection_begins_with_check_and_setup"],
    ),
    (
        "naming",
        "ephemeral instances are said again",
        &["after_a_restart_of_the_server_everything_is_said_again"],
    ),
    (
        "naming",
        "persistent instances",
        &["a_persistent_instance_outlives_its_client"],
    ),
    (
        "naming",
        "several instances of a service, of which one goes",
        &["who_subscribes_sees_who_registers_and_who_leaves"],
    ),
    (
        "naming",
        "what is refused is not tried again",
        &["what_the_server_refuses_is_an_error_and_is_not_tried_again"],
    ),
    (
        "naming",
        "subscribe, and pushes",
        &[
            "who_subscribes_sees_who_registers_and_who_leaves",
            "changes_are_pushed_over_udp",
        ],
    ),
    (
        "naming",
        "lists are read leniently; empty protection",
        &[
            "what_servers_send_is_read_leniently",
            "empty_protection_keeps_the_last_list",
        ],
    ),
    (
        "naming",
        "fuzzy watch",
        &[
            "services_that_match_are_told_as_they_come_and_go",
            "what_cannot_be_watched_is_refused",
        ],
    ),
    (
        "naming",
        "failover folder with its switch; copies on disk",
        &[
            "copies_and_the_failover_folder_serve_without_a_server",
            "services_are_saved_and_the_failover_folder_has_a_switch",
        ],
    ),
    (
        "naming",
        "1.x: beats",
        &["what_is_beaten_for_lives_and_what_is_not_goes"],
    ),
    (
        "naming",
        "1.x: datagrams and their acknowledgements",
        &[
            "a_push_of_this_servers_making_is_understood_and_acknowledged",
            "other_kinds_are_acknowledged_and_noise_is_not",
        ],
    ),
    (
        "config",
        "reads, writes, cas, removal",
        &["configs_are_written_read_compared_and_removed"],
    ),
    (
        "config",
        "a listener is told of each change and of the removal",
        &["who_listens_is_told_of_each_change_and_of_the_removal"],
    ),
    (
        "config",
        "at most so many configs a connection",
        &["a_connection_listens_to_3000_configs_and_the_next_to_the_rest"],
    ),
    (
        "config",
        "what changed during an outage is told after it",
        &["a_change_during_an_outage_is_told_after_it"],
    ),
    (
        "config",
        "failover file, server, copy; their paths",
        &[
            "the_failover_file_goes_first_and_the_snapshot_last",
            "paths_are_those_of_the_java_client",
            "files_are_called_by_the_list",
        ],
    ),
    (
        "config",
        "the same request more than five times a second",
        &["the_same_request_more_than_five_times_in_a_second_is_refused_after_one"],
    ),
    (
        "config",
        "fuzzy watch",
        &["configs_that_match_are_told_as_they_come_and_go"],
    ),
    (
        "config",
        "1.x: long polls",
        &[
            "long_polls_tell_of_changes_and_of_what_is_new",
            "polls_are_written_and_answers_read_as_the_protocol_has_it",
        ],
    ),
    (
        "security",
        "login at start; the token with each request",
        &[
            "a_token_is_had_at_the_start_and_shown_with_each_request",
            "over_grpc_the_token_goes_with_the_metadata",
        ],
    ),
    (
        "security",
        "renewal before the end of its life",
        &[
            "a_token_is_made_new_before_it_expires",
            "a_token_is_made_new_in_the_last_tenth_of_its_life",
        ],
    ),
    (
        "security",
        "403: a new login, with a pause",
        &[
            "a_refusal_makes_it_log_in_again",
            "with_a_wrong_password_requests_are_refused_until_it_is_right",
        ],
    ),
    (
        "identification",
        "user agent and client version",
        &["the_only_server_is_asked_three_times_over_http"],
    ),
];

/// Where the tests stand.
const SOURCES: &[&str] = &[
    include_str!("config.rs"),
    include_str!("fuzzy.rs"),
    include_str!("login.rs"),
    include_str!("naming.rs"),
    include_str!("rpc.rs"),
    include_str!("servers.rs"),
    include_str!("v1.rs"),
    include_str!("../../../host/client/src/config/polling.rs"),
    include_str!("../../../host/client/src/files.rs"),
    include_str!("../../../host/client/src/info.rs"),
    include_str!("../../../host/client/src/login.rs"),
    include_str!("../../../host/client/src/naming/wire/udp.rs"),
    include_str!("../../../host/client/src/servers.rs"),
];

/// Whether some source has a test of this name: a function behind the attribute of one.
fn is_a_test(name: &str) -> bool {
    let declared = format!("fn {name}() {{");
    SOURCES.iter().any(|source| {
        let before = source.split_once(&declared).map(|(before, _)| before);
        before.is_some_and(|before| {
            let attribute = before.trim_end().lines().next_back().unwrap_or_default();
            let last = before.lines().rev().nth(1).unwrap_or(attribute);
            [attribute, last].iter().any(|line| line.contains("test"))
        })
    })
}

#[test]
fn every_row_has_its_tests() {
    let mut missing = Vec::new();
    for (chapter, row, tests) in ROWS {
        if tests.is_empty() {
            missing.push(format!("{chapter}: {row}: no test"));
        }
        let gone = tests.iter().filter(|test| !is_a_test(test));
        missing.extend(gone.map(|test| format!("{chapter}: {row}: {test} is gone")));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(!is_a_test("no_such_test"));
}
