"""Which code page of old a file is in, where it is neither UTF-8 nor UTF-16."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

NAMES = {
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1254": "Windows-1254",
    "iso8859_15": "ISO 8859-15",
    "iso8859_2": "ISO 8859-2",
    "cp1251": "Windows-1251",
    "koi8_r": "KOI8-R",
    "cp1253": "Windows-1253",
    "cp1256": "Windows-1256",
    "cp932": "Shift JIS (cp932)",
    "euc_jp": "EUC-JP",
    "cp949": "EUC-KR (cp949)",
    "gb18030": "GB 18030",
    "big5": "Big5",
}
"""Code pages that are guessed, the likelier first among equals, and their names for people."""

_LATIN = ("cp1252", "cp1250", "cp1254", "iso8859_15", "iso8859_2")

# First bytes of the characters that a text in that code page is mostly made of. The pages of
# East Asia overlap so much that whether the bytes are valid tells little.
_COMMON = {
    "cp932": (*range(0x81, 0x85), *range(0x88, 0x98)),
    "euc_jp": (*range(0xA1, 0xA9), *range(0xB0, 0xD0)),
    "cp949": (*range(0xA1, 0xA4), *range(0xB0, 0xC9)),
    "gb18030": (*range(0xA1, 0xA4), *range(0xB0, 0xD8)),
    "big5": tuple(range(0xA1, 0xC7)),
}

_FOREIGN = r"[^\W\d_\x00-\x7f]"
# A sign inside a word ("has³o" for "hasło"), or a crowd of signs and accents.
_ODD_LATIN = re.compile(
    r"[\u00a2-\u00a9\u00ab-\u00b9\u00bb-\u00be](?=[^\W\d_])|(?<=[^\W\d_])[\u00a1\u00bf]|\u00a4"
    r"|[^\x00-\x7f]{3,}"
)
# Letters of two scripts in one word ("cafй"), or a sign before a word.
_ODD_OTHER = re.compile(
    rf"[A-Za-z](?={_FOREIGN})|{_FOREIGN}(?=[A-Za-z])|[\u00a1-\u00bf](?=[^\W\d_])"
)
_ODD_ASIAN = re.compile(r"[\uff61-\uff9f]{2}|(?<=[A-Za-z])[^\x00-\x7f](?=[a-z])")
_KANA = re.compile("[\u3040-\u30ff]")
_WORD = re.compile(_FOREIGN + "{2,}")


@dataclass(frozen=True)
class _Tell:
    """Letters that stand together in Windows-1252 only if the text is in another code page."""

    codec: str
    both: tuple[str, str]
    """A letter of each must be there."""
    none: str = ""
    """None of these letters may be there."""

    def holds(self, letters: set[str]) -> bool:
        """Whether a text of these lower-case letters is in that code page."""
        return all(letters & set(some) for some in self.both) and not letters & set(self.none)


_TELLS = (
    _Tell("cp1250", ("ìøèùò", "šžý")),  # Czech ě ř č ů ň
    _Tell("cp1250", ("õû", "áíó"), "ãçêàè"),  # Hungarian ő ű
    _Tell("cp1250", ("ºþ", "ãî"), "ç"),  # Romanian ş ţ
    _Tell("cp1254", ("ðþý", "çüý"), "æáéíš"),  # Turkish ğ ş ı
)

_WORST = 0.35
"""Share of odd characters from which a reading is not believed."""


def likely_code_pages(sample: bytes) -> list[str]:
    """Codecs that the sample may be in, likeliest first.

    How odd each reading looks decides: signs inside words, scripts mixed in a word, rare
    characters. Between equals the Latin pages go first, then charset-normalizer decides.

    Args:
        sample: Some lines that hold bytes above 127.
    """
    odd = {codec: _oddity(sample, codec) for codec in NAMES}
    believed = {codec: share for codec, share in odd.items() if share <= _WORST}
    messy = _messiness(sample, [codec for codec in believed if codec not in _LATIN])
    order = list(NAMES)
    ranked = sorted(
        believed,
        key=lambda codec: (int(believed[codec] * 10), messy.get(codec, -1.0), order.index(codec)),
    )
    if ranked[:1] == ["cp1252"]:
        letters = set(sample.decode("cp1252").lower())
        return [tell.codec for tell in _TELLS if tell.holds(letters)] + ranked
    return ranked


def _oddity(sample: bytes, codec: str) -> float:
    """Share of odd characters among those beyond ASCII in this reading; 1: not possible."""
    try:
        text = sample.decode(codec)
    except UnicodeDecodeError:
        return 1.0
    foreign = [char for char in text if char > "\x7f"]
    if codec in _COMMON:
        common = _COMMON[codec]
        rare = sum(char.encode(codec)[0] not in common for char in foreign)
        # Korean and Japanese lie inside the range of Chinese: two characters tell nothing.
        lone = codec == "cp949" or (codec == "euc_jp" and not _KANA.search(text))
        return (rare + len(_ODD_ASIAN.findall(text)) + 0.3 * lone) / max(1, len(foreign))
    if codec in _LATIN:
        return sum(map(len, _ODD_LATIN.findall(text))) / max(1, len(foreign))
    if not _WORD.search(text):
        return 1.0
    capitals = sum(a.islower() and b.isupper() for a, b in pairwise(text))
    return (len(_ODD_OTHER.findall(text)) + capitals) / max(1, len(foreign))


def _messiness(sample: bytes, codecs: list[str]) -> Mapping[str, float]:
    """What charset-normalizer makes of the readings: 0 is best; 2 for one that it rejects."""
    if not codecs:
        return {}
    from charset_normalizer import from_bytes

    messy = dict.fromkeys(codecs, 2.0)
    for match in from_bytes(sample, cp_isolation=codecs):
        for codec in {match.encoding, *match.could_be_from_charset} & messy.keys():
            messy[codec] = match.chaos - match.coherence / 10
    return messy
