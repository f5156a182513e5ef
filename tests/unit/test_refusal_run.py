"""Which refusals are the fault of a row, and which are not."""

from mailroom_sender.delivery.refusal_run import RUN_LENGTH, RefusalRun, kind_of

WHY = "MessageRejected: no"


def test_refused_row_is_at_fault_once_another_mail_is_accepted() -> None:
    """The other call must be made after the refusal. One that was in progress proves nothing."""
    run = RefusalRun()
    run.accepted(0)
    run.refused("a", WHY, 1)
    assert not run.is_at_fault("a")
    run.accepted(1)
    assert not run.is_at_fault("a")
    run.accepted(2)
    assert run.is_at_fault("a")
    assert not run.is_at_fault("b")


def test_row_that_is_refused_again_is_judged_by_its_first_refusal() -> None:
    """Mails accepted between its two refusals count. A settled row is forgotten."""
    run = RefusalRun()
    run.refused("a", WHY, 1)
    run.accepted(2)
    run.refused("a", WHY, 3)
    assert run.is_at_fault("a")
    run.forget("a")
    run.refused("a", WHY, 4)
    assert not run.is_at_fault("a")


def test_refusal_together_with_others_sets_the_order_of_events() -> None:
    """A row that was in a refused call and is refused alone after others were accepted is at fault. It makes no run."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, 1, alone=False)
    assert not run.is_no_rows_fault(WHY)
    run.accepted(2)
    run.refused("0", WHY, 3)
    assert run.is_at_fault("0")


def test_run_needs_different_rows() -> None:
    """Repeated tries of one row are no run."""
    run = RefusalRun()
    for number in range(RUN_LENGTH - 1):
        run.refused(str(number), WHY, number)
        run.refused("0", WHY, number)
    assert not run.is_no_rows_fault(WHY)
    run.refused("last", WHY, RUN_LENGTH)
    assert run.is_no_rows_fault(WHY)


def test_accepted_mail_ends_a_run() -> None:
    """Bad addresses among good ones are no run."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, number)
    run.accepted(RUN_LENGTH)
    assert not run.is_no_rows_fault(WHY)
    run.refused("next", WHY, RUN_LENGTH + 1)
    assert not run.is_no_rows_fault(WHY)


def test_run_has_one_reason() -> None:
    """Different reasons mean different faults. Numbers, addresses and quotes are ignored."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), f"Code{number}: no", number)
    assert run.is_no_rows_fault("Code: no") is False
    for number in range(RUN_LENGTH):
        run.refused(str(number), f"Code: <u{number}@b.c> is 'u{number}', request {number}", number)
    assert run.is_no_rows_fault("Code: <x@b.c> is 'x', request 7")


def test_probe_starts_a_new_count() -> None:
    """A probe gets as many rows as the first call."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, number)
    run.held(RUN_LENGTH)
    assert not run.is_no_rows_fault(WHY)
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, RUN_LENGTH + 1)
    assert run.is_no_rows_fault(WHY)


def test_memory_is_bounded() -> None:
    """The row that was refused longest ago is forgotten, and needs another refusal."""
    run = RefusalRun()
    for number in range(2001):
        run.refused(str(number), WHY, number)
    run.accepted(3000)
    assert not run.is_at_fault("0")
    assert run.is_at_fault("1")


def test_kinds_of_reasons() -> None:
    """Code and plain words are kept."""
    assert kind_of("MessageRejected: a b") == "MessageRejected: a b"
    assert kind_of('Odd: "x y" at u1@b.c, 17 times') == "Odd: * at * * times"


def test_row_of_a_run_is_not_at_fault() -> None:
    """A fault that returns meets rows that it caused to be released."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, 1, alone=False)
    run.accepted(2)
    for number in range(RUN_LENGTH - 1):
        run.refused(str(number), WHY, 3)
        assert run.is_at_fault(str(number))
    run.refused("last", WHY, 4)
    assert not run.is_at_fault("0")


def test_refusal_at_the_moment_of_a_success_counts_for_no_run() -> None:
    """Only later ones count."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, 5)
    run.accepted(5)
    assert not run.is_no_rows_fault(WHY)


def test_row_that_was_not_refused_may_be_forgotten() -> None:
    """There is nothing to forget."""
    run = RefusalRun()
    run.refused("a", WHY, 1)
    run.forget("b")
    run.accepted(2)
    assert run.is_at_fault("a")
