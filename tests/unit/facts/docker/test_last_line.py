from runbook_lib.facts.docker.engine import last_line


def test_the_last_line_that_says_something_is_what_a_log_ends_with() -> None:
    assert (
        last_line("2026-11-29 I | raft: became follower\n2026-11-29 E | disk full\r\n\n  \n")
        == "2026-11-29 E | disk full"
    )
    assert last_line("\n") == "(the log is empty)"


def test_a_very_long_line_is_cut_and_shows_that() -> None:
    cut = last_line("x" * 1000)
    assert (len(cut), cut[-3:]) == (302, "x …")
