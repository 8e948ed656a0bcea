"""Report documents to plain text: .txt in the encodings that clinics use, .docx, .rtf."""

import io
import os
import pathlib
import re
import zipfile

from data_prep.places import input_path, state_of

# Files of these suffixes may hold one report each.
SUFFIXES = (".txt", ".docx", ".rtf")
# Documents that are listed and not read, and what to save them as.
UNREAD = {".xls": ".csv", ".xlsx": ".csv", ".ods": ".csv"} | dict.fromkeys(
    (".doc", ".docm", ".odt", ".pdf", ".pages", ".htm", ".html", ".xml", ".md"), ".docx or .txt"
)
# Beyond this a document is no report; a small zip can unpack to much more than it is.
MAX_BYTES = 20_000_000


class TextError(ValueError):
    """A document that gives no text; the message says why."""


def read_report(path: pathlib.Path | str) -> str:
    """Reads one document.

    Raises:
      TextError: unknown suffix, too large, undecodable, damaged, or without text.
    """
    path = input_path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise TextError(f"{path}: expected {', '.join(SUFFIXES)}")
    if (size := state_of(path).size_bytes) > MAX_BYTES:
        raise TextError(f"{path}: {size} bytes, expected at most {MAX_BYTES} of a report")
    reader = {".txt": decode, ".docx": _docx, ".rtf": _rtf}[path.suffix.lower()]
    text = reader(path.read_bytes(), path)
    if not text.strip():
        raise TextError(f"{path}: holds no text")
    return text


def decode(data: bytes, name: str | os.PathLike) -> str:
    """Text of a .txt file: UTF-8 or UTF-16 (with or without mark), else cp1252.

    Raises:
      TextError: the bytes are none of them, or binary.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = _try(data, "utf-16")
    elif b"\x00" in data:
        # Western text in UTF-16 without a mark: nearly every other byte is zero.
        halves = {"utf-16-be": data[::2], "utf-16-le": data[1::2]}
        mostly = [name for name, half in halves.items() if half.count(0) > 0.3 * len(data)]
        text = _try(data, mostly[0]) if len(mostly) == 1 else None
    else:
        text = _try(data, "utf-8-sig")
        if text is None:
            text = _try(data, "cp1252")
    if text is None or _is_binary(text):
        raise TextError(f"{name}: expected text in UTF-8, UTF-16 or cp1252, found other bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_binary(text: str) -> bool:
    """Whether control characters say that this is no text (a form feed is one of a printer's)."""
    controls = len(re.findall(r"[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff]", text))
    return controls > max(2, len(text) // 100)


def _rtf(data: bytes, path: pathlib.Path) -> str:
    from striprtf.striprtf import rtf_to_text

    if not data.lstrip().startswith(b"{\\rtf"):
        raise TextError(f"{path}: expected RTF, which begins with '{{\\rtf'")
    # RTF is ASCII with escapes; bytes above that are of the code page that it names.
    page = re.search(rb"\\ansicpg(\d+)", data[:2000])
    encoding = f"cp{page[1].decode()}" if page else "cp1252"
    try:
        return rtf_to_text(data.decode("latin-1"), encoding=encoding, errors="strict")
    except (LookupError, UnicodeError, ValueError, IndexError) as error:
        raise TextError(f"{path}: damaged RTF ({error})") from error


def _docx(data: bytes, path: pathlib.Path) -> str:
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > 10 * MAX_BYTES:
            raise TextError(f"{path}: unpacks to {unpacked} bytes, too much for a report")
        document = docx.Document(io.BytesIO(data))
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError, SyntaxError) as error:
        if isinstance(error, TextError):
            raise
        raise TextError(f"{path}: damaged or no .docx document ({error})") from error
    return "\n".join(line for block in document.iter_inner_content() for line in _lines(block))


def _lines(block) -> list[str]:
    """Lines of a paragraph, or of a table (a line a row, cells that span others once)."""
    if not hasattr(block, "rows"):
        text = block.text
        # A heading by its style needs no colon to be one.
        headed = (block.style.name or "").startswith(("Heading", "Title")) if block.style else False
        return [f"{text.rstrip()}:" if headed and text.strip()[-1:] not in ("", ":") else text]
    lines = []
    for row in block.rows:
        cells = list(dict.fromkeys(cell.text.strip() for cell in row.cells))
        heading, rest = cells[0], " ".join(cells[1:])
        # Two columns are a form: "IMPRESSION | Normal EEG" is a heading and its text.
        colon = ":" if rest and len(cells) == 2 and not heading.endswith(":") else ""
        lines.append(f"{heading}{colon} {rest}".strip())
    return lines
