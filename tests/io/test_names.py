"""Names of studies: one path component that every system takes."""

import pytest

from branchpoint.io.names import check_name


@pytest.mark.parametrize("name", ["s", "hecktor-2021", "a.b_c-D9", "0", "x" * 100, "v1.0", "a-"])
def test_sane_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            ".",
            "..",
            ".hidden",
            "-x",
            "_x",
            "a/b",
            "a\\b",
            "../x",
            "a b",
            " a",
            "a ",
            "a\n",
            "a\0",
            "a.",
            "x" * 101,
        ],
        *["ä", "a:b", "a*", "a?", "[a]", "<script>", "a'b", 'a"b', "a|b", "~", "$HOME", "%41", "a=b", "CON", "nul.txt"],
        *["LPT1", "\u200ba", "a\ud800", "a;b", "a&b", "`a`", "{a}", "a,b", "\u0661", None, 7],
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"study is .*must be 1 to 100 letters"):
        check_name(name)
