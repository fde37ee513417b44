import resource
from pathlib import Path

from engine.tasks.output import LINE_LIMIT, TAIL_BYTES, OutputSink
from engine.tasks.sanitise import Redactor


def test_the_file_appears_with_the_first_output(tmp_path: Path) -> None:
    sink = OutputSink(tmp_path / "t" / "1-run.log")
    assert not sink.path.exists()
    sink.write(b"one\ntw")
    assert sink.path.read_text() == "one\ntw"
    sink.close()
    assert sink.path.read_text() == "one\ntw"


def test_nothing_printed_leaves_no_file(tmp_path: Path) -> None:
    sink = OutputSink(tmp_path / "1-run.log")
    sink.close()
    assert not sink.path.exists()
    assert sink.tail() == ""


def test_what_is_kept_and_what_is_told_is_redacted_and_safe(tmp_path: Path) -> None:
    told: list[str] = []
    sink = OutputSink(tmp_path / "log", Redactor({"pa55word": "${PW}"}), on_lines=told.extend)
    for piece in (b"login pa5", b"5word \x1b[", b"2J ", b"\xe2\x82", b"\xac \xff end\n"):
        sink.write(piece)
    sink.close()
    assert sink.path.read_text() == "login ${PW} ␛[2J € � end\n"
    assert told == ["login ${PW} ␛[2J € � end"]
    assert sink.tail() == told[0]


def test_notes_of_the_engine_stand_on_lines_of_their_own(tmp_path: Path) -> None:
    sink = OutputSink(tmp_path / "log", Redactor({"pa55word": "${PW}"}))
    sink.write(b"unfinished pa5")
    sink.note("a note on pa55word")
    sink.write(b"goes on")
    sink.close()
    assert sink.path.read_text() == "unfinished pa5\na note on ${PW}\ngoes on"


def test_the_tail_is_bounded_in_lines_and_in_bytes(tmp_path: Path) -> None:
    sink = OutputSink(tmp_path / "log", tail_lines=5)
    sink.write(b"".join(b"%d\n" % number for number in range(100_000)))
    assert sink.tail() == "99995\n99996\n99997\n99998\n99999"
    wide = OutputSink(tmp_path / "wide")
    wide.write((b"x" * 1000 + b"\n") * 1000)
    assert TAIL_BYTES - 1100 < len(wide.tail()) <= TAIL_BYTES
    sink.close()
    wide.close()


def test_long_lines_are_cut_with_a_mark_on_screens_but_not_in_the_file(tmp_path: Path) -> None:
    told: list[str] = []
    sink = OutputSink(tmp_path / "log", on_lines=told.extend)
    for _ in range(10):
        sink.write(b"y" * 1000)
    sink.write(b"\n")
    sink.write(b"z" * 5000 + b"\nshort\n")
    sink.close()
    assert told == [
        "y" * LINE_LIMIT + " … (5,904 more characters)",
        "z" * LINE_LIMIT + " … (904 more characters)",
        "short",
    ]
    assert sink.path.read_text() == "y" * 10_000 + "\n" + "z" * 5000 + "\nshort\n"


def test_a_secret_across_a_cut_is_gone_all_the_same(tmp_path: Path) -> None:
    sink = OutputSink(tmp_path / "log", Redactor({"pa55word": "${PW}"}))
    sink.write(b"x" * (LINE_LIMIT - 4) + b"pa55word\n")
    sink.close()
    assert "pa55" not in sink.tail() + sink.path.read_text()


def test_a_full_file_keeps_its_head_and_the_newest_lines(tmp_path: Path) -> None:
    sink = OutputSink(tmp_path / "log", file_bytes=1000, tail_lines=3)
    for number in range(1000):
        sink.write(b"line %04d\n" % number)
    sink.write(b"the end")
    sink.close()
    text = sink.path.read_text()
    assert text.startswith("line 0000\nline 0001\n")
    assert text.endswith("line 0998\nline 0999\nthe end\n")
    assert "bytes of output are left out here" in text
    assert len(text) < 1200


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    sink = OutputSink(tmp_path / "log", file_bytes=10, tail_lines=1)
    sink.write(b"123456789\n" + b"a" * 9 + b"\n" + b"b" * 9 + b"\n")
    sink.close()
    assert sink.path.read_text() == "123456789\n\n… 10 bytes of output are left out here …\nbbbbbbbbb\n"


def test_output_that_cannot_be_kept_is_told_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sink = OutputSink(tmp_path / "file" / "log")
    sink.write(b"heard all the same\n")
    sink.close()
    assert sink.tail() == "heard all the same"
    assert "could not be kept" in sink.not_kept


def test_what_did_not_fit_on_the_disk_is_told_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = OutputSink(path)
    sink.write(b"before\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        sink.write(b"in\nwhile it was full\n")
        sink.write(b"and still\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "before\nin\n"
    sink.write(b"after\n")
    sink.close()
    assert (
        path.read_text() == "before\nin\n\n… 28 bytes of output are missing here: File too large …\nafter\n"
    )
    assert sink.tail() == "before\nin\nwhile it was full\nand still\nafter"


def test_an_end_that_did_not_fit_is_told_if_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("in the way")
    sink = OutputSink(tmp_path / "t" / "log")
    sink.write(b"lost\n")
    (tmp_path / "t").unlink()
    sink.close()
    assert sink.path.read_text() == "\n… 5 bytes of output are missing here: File exists …\n"


def test_a_run_directory_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    sink = OutputSink(tmp_path / "gone" / "t" / "log")
    sink.write(b"x\n")
    sink.close()
    assert "could not be kept" in sink.not_kept
    assert list(tmp_path.iterdir()) == []


def test_a_subscriber_hears_the_newest_lines_of_a_flood_only(tmp_path: Path) -> None:
    told: list[str] = []
    sink = OutputSink(tmp_path / "log", on_lines=told.extend, tail_lines=10)
    sink.write(b"y\n" * 30_000 + b"last\n")
    sink.close()
    assert len(told) == 10
    assert told[-1] == "last"
