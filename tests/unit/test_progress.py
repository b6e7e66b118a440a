import io

from fhir_srs.progress import counted, shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_come_every_few_seconds_and_at_the_end():
    stream, now = io.StringIO(), iter([0.0, 1.0, 6.0, 6.5])
    with shown(stream, clock=lambda: next(now)) as report:
        report("pull", 1)
        report("pull", 2)
        report("pull", 2000)
        report("pull", 3000, 3000)
    assert stream.getvalue() == "pull: 2,000 (333/s)\npull: 3,000 (461/s)\n"


def test_a_terminal_gets_bars_and_is_left_clean():
    stream = Terminal()
    with shown(stream) as report:
        report("pull", 1, 2)
        report("pull", 2, 2)
    assert "pull" in stream.getvalue()


def test_counted_passes_everything_through_and_reports_the_last():
    seen = []
    items = list(counted(range(5), "read", lambda *call: seen.append(call), every=2))
    assert items == [0, 1, 2, 3, 4]
    assert seen == [("read", 2), ("read", 4), ("read", 5, 5)]
