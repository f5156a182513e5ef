"""The net under the tables: a row's fault, or nobody's row."""

from mailroom_sender.delivery.refusal_run import RUN_LENGTH, RefusalRun, kind_of

WHY = "MessageRejected: no"


def test_refused_row_is_at_fault_once_another_mail_is_taken() -> None:
    """Of a call that was made after the refusal; one that was under way tells nothing."""
    run = RefusalRun()
    run.accepted(0)
    run.refused("a", WHY, 1)
    assert not run.is_at_fault("a")
    run.accepted(1)
    assert not run.is_at_fault("a")
    run.accepted(2)
    assert run.is_at_fault("a")
    assert not run.is_at_fault("b")


def test_row_that_comes_again_is_judged_by_its_first_refusal() -> None:
    """What was taken between its two refusals counts; what is settled is forgotten."""
    run = RefusalRun()
    run.refused("a", WHY, 1)
    run.accepted(2)
    run.refused("a", WHY, 3)
    assert run.is_at_fault("a")
    run.forget("a")
    run.refused("a", WHY, 4)
    assert not run.is_at_fault("a")


def test_refusal_in_company_counts_for_the_order_of_events() -> None:
    """A row that was in a refused call, and is refused alone after others were taken, is at fault; it makes no run."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, 1, alone=False)
    assert not run.is_no_rows_fault(WHY)
    run.accepted(2)
    run.refused("0", WHY, 3)
    assert run.is_at_fault("0")


def test_run_takes_so_many_different_rows() -> None:
    """One row that is tried again and again is no run."""
    run = RefusalRun()
    for number in range(RUN_LENGTH - 1):
        run.refused(str(number), WHY, number)
        run.refused("0", WHY, number)
    assert not run.is_no_rows_fault(WHY)
    run.refused("last", WHY, RUN_LENGTH)
    assert run.is_no_rows_fault(WHY)


def test_run_ends_with_a_mail_that_is_taken() -> None:
    """A real run of bad addresses among good ones is none."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, number)
    run.accepted(RUN_LENGTH)
    assert not run.is_no_rows_fault(WHY)
    run.refused("next", WHY, RUN_LENGTH + 1)
    assert not run.is_no_rows_fault(WHY)


def test_run_is_for_one_reason() -> None:
    """Different reasons speak of different rows; numbers, addresses and quotes don't make a difference."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), f"Code{number}: no", number)
    assert run.is_no_rows_fault("Code: no") is False
    for number in range(RUN_LENGTH):
        run.refused(str(number), f"Code: <u{number}@b.c> is 'u{number}', request {number}", number)
    assert run.is_no_rows_fault("Code: <x@b.c> is 'x', request 7")


def test_probe_counts_anew() -> None:
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
    """The row that was refused longest ago is forgotten, and needs one more refusal."""
    run = RefusalRun()
    for number in range(2001):
        run.refused(str(number), WHY, number)
    run.accepted(3000)
    assert not run.is_at_fault("0")
    assert run.is_at_fault("1")


def test_kinds_of_reasons() -> None:
    """Code and plain words stay."""
    assert kind_of("MessageRejected: a b") == "MessageRejected: a b"
    assert kind_of('Odd: "x y" at u1@b.c, 17 times') == "Odd: * at * * times"


def test_row_of_a_run_is_not_at_fault_whatever_was_taken_before() -> None:
    """A fault that comes back meets rows that it had put back."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, 1, alone=False)
    run.accepted(2)
    for number in range(RUN_LENGTH - 1):
        run.refused(str(number), WHY, 3)
        assert run.is_at_fault(str(number))
    run.refused("last", WHY, 4)
    assert not run.is_at_fault("0")


def test_refusal_of_the_very_moment_of_a_success_counts_for_no_run() -> None:
    """Only what comes after it does."""
    run = RefusalRun()
    for number in range(RUN_LENGTH):
        run.refused(str(number), WHY, 5)
    run.accepted(5)
    assert not run.is_no_rows_fault(WHY)


def test_row_that_was_not_refused_may_be_forgotten() -> None:
    """It is nothing to remember."""
    run = RefusalRun()
    run.refused("a", WHY, 1)
    run.forget("b")
    run.accepted(2)
    assert run.is_at_fault("a")
