"""Encodings are found, said, and never guessed where nothing fits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbert_cluster.corpus.decoding import decode
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.types import Corpus

Reader = Callable[..., Corpus]

FRENCH = (
    "id,question\n1,Comment réinitialiser mon mot de passe ?\n2,Le café est-il fermé à Noël ?\n"
)
GERMAN = "id;frage\n1;Wie kann ich mein Passwort zurücksetzen?\n2;Größe ändern\n"
JAPANESE = "id,質問\n1,パスワードを忘れました。\n2,注文をキャンセルするにはどうすればいいですか?\n"
KOREAN = "id,질문\n1,비밀번호를 잊어버렸어요\n2,주문을 취소하고 싶습니다\n"
CHINESE = "id,问题\n1,我忘记了密码怎么办?\n2,如何取消订单\n"
TAIWANESE = "id,問題\n1,我忘記密碼怎麼辦?\n2,如何取消訂單\n"
RUSSIAN = "id,вопрос\n1,Как сбросить пароль?\n2,Когда приедет мой заказ?\n"
POLISH = "id,pytanie\n1,Jak zresetować hasło?\n2,Gdzie jest moje zamówienie, proszę?\n"
CZECH = "id,text\n1,Zapomněl jsem heslo, co mám dělat?\n2,Kde je moje objednávka? Děkuji, žádám\n"
HUNGARIAN = "id,text\n1,Hogyan tudom megváltoztatni a jelszót? Őrült űrhajó\n"
TURKISH = "id,soru\n1,Şifremi nasıl sıfırlayabilirim?\n2,Müşteri hizmetleri, çabuk\n"
GREEK = "id,ερώτηση\n1,Πώς μπορώ να αλλάξω τον κωδικό μου;\n2,Πού είναι η παραγγελία μου;\n"


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        (FRENCH, "cp1252", "Windows-1252"),
        ("text\ncafé\n", "cp1252", "Windows-1252"),
        ("text\n¿Cómo cambio mi contraseña?\nmañana\n", "cp1252", "Windows-1252"),
        ("text\nperché è così\n", "cp1252", "Windows-1252"),
        ("text\n25°C – £5 ½ pint “ok” 5 €\n", "cp1252", "Windows-1252"),
        (GERMAN, "cp1252", "Windows-1252"),
        ("text\nGrüße aus München\n", "cp1252", "Windows-1252"),
        (POLISH, "cp1250", "Windows-1250"),
        (CZECH, "cp1250", "Windows-1250"),
        (HUNGARIAN, "cp1250", "Windows-1250"),
        (TURKISH, "cp1254", "Windows-1254"),
        (JAPANESE, "cp932", "Shift JIS (cp932)"),
        ("text\nこんにちは\n", "cp932", "Shift JIS (cp932)"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (KOREAN, "euc_kr", "EUC-KR (cp949)"),
        ("text\n안녕하세요\n", "euc_kr", "EUC-KR (cp949)"),
        (CHINESE, "gb18030", "GB 18030"),
        ("text\n你好世界\n", "gb18030", "GB 18030"),
        (TAIWANESE, "big5", "Big5"),
        (RUSSIAN, "cp1251", "Windows-1251"),
        ("text\nПривет, как дела?\n", "cp1251", "Windows-1251"),
        (RUSSIAN, "koi8_r", "KOI8-R"),
        (GREEK, "cp1253", "Windows-1253"),
        (FRENCH, "utf-16-le", "UTF-16-LE"),
        (FRENCH, "utf-16-be", "UTF-16-BE"),
        (RUSSIAN, "utf-16-le", "UTF-16-LE"),
        (JAPANESE, "utf-16-be", "UTF-16-BE"),
        (CHINESE, "utf-16-le", "UTF-16-LE"),
        ("text\nplain ascii\n", "utf-16-le", "UTF-16-LE"),
    ],
)
def test_detected(text: str, encoding: str, name: str) -> None:
    """A short sample in each encoding is read right, and the encoding is said."""
    found = decode(text.encode(encoding), None, "in.csv")
    assert found.text == text
    assert found.text.encode(found.encoding) == text.encode(encoding)
    assert found.note == f"in.csv is read as {name} (--encoding names another)"


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_marks(codec: str) -> None:
    """Byte-order marks are taken off and remembered."""
    found = decode(JAPANESE.encode(codec), None, "in.csv")
    assert (found.text, found.byte_order_mark) == (JAPANESE, True)
    assert found.encoding.startswith(codec[:5])
    assert (found.note is None) == (codec == "utf-8-sig")
    named = decode(JAPANESE.encode(codec), codec, "in.csv")
    assert (named.text, named.encoding, named.note) == (JAPANESE, found.encoding, None)


@pytest.mark.parametrize("mark", [b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"])
def test_mark_before_utf16(mark: bytes) -> None:
    """The mark of UTF-32 is not taken for that of UTF-16."""
    codec = "utf-32-le" if mark[0] else "utf-32-be"
    assert decode(mark + "text".encode(codec), None, "x").text == "text"


@pytest.mark.parametrize(
    "text", ["text\n\x1b[31mred\x1b[0m\n", "text\n\x00\x01\x02\x7f\n", "text\n\x80\x9f é\n", "a\nb"]
)
def test_control_characters_in_utf8(text: str) -> None:
    """UTF-8 may hold whatever it likes."""
    assert decode(text.encode(), None, "x").text == text


def test_asked_encoding(read: Reader) -> None:
    """The encoding that the user names is used, and kept."""
    corpus = read("text,n\nпривет всем,1\n".encode("koi8-r"), encoding="koi8-r")
    assert corpus.frame["text"].to_list() == ["привет всем"]
    assert corpus.layout.encoding == "koi8-r"
    assert decode("é".encode("utf-16-le"), "utf-16", "x").encoding == "utf-16-le"


def test_wrong_encoding() -> None:
    """An encoding that does not fit, or does not exist, is refused."""
    with pytest.raises(InputError, match=r"x is not utf-8: byte 0xE9 at offset 2|not UTF-8: byte"):
        decode(b"ab\xe9\n", "utf-8", "x")
    with pytest.raises(InputError, match=r"x is not cp1252: byte 0x81 at offset 1"):
        decode(b"a\x81", "cp1252", "x")
    for name in ("klingon", "base64", "a\x00b"):
        with pytest.raises(UsageError, match="is not known"):
            decode(b"a", name, "x")


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes(seed: int) -> None:
    """Random bytes are in no encoding, and the first wrong byte is named."""
    import random

    data = b"text\n" + random.Random(seed).randbytes(2_000)
    with pytest.raises(InputError, match=r"x is not UTF-8: byte 0x[0-9A-F]{2} at offset \d"):
        decode(data, None, "x")


def test_late_legacy_byte() -> None:
    """The telling bytes are found wherever they stand in a large file."""
    data = b"text,n\n" + b"nothing here,1\n" * 50_000 + "Grüße aus Köln,2\n".encode("cp1252")
    assert decode(data, None, "x").text.endswith("Grüße aus Köln,2\n")


def test_broken_utf8_is_not_guessed() -> None:
    """One wrong byte in much UTF-8 of another script is an error, not another encoding."""
    data = (JAPANESE * 50).encode() + b"\xff\n"
    with pytest.raises(InputError, match="byte 0xFF at offset"):
        decode(data, None, "x")
