"""The API key that a process calls others with."""

from collections.abc import Mapping
from pathlib import Path

from trivium.core.errors import BadSetting
from trivium.settings import KeySettings, read


def own_key(environ: Mapping[str, str]) -> str:
    """From TRIVIUM_KEY or the file of TRIVIUM_KEY_FILE; empty without. Raises BadSetting."""
    settings = read(KeySettings, environ)
    if settings.key and settings.key_file:
        raise BadSetting("only one of TRIVIUM_KEY and TRIVIUM_KEY_FILE can be set")
    if not settings.key_file:
        return settings.key
    try:
        key = Path(settings.key_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"TRIVIUM_KEY_FILE: {settings.key_file} cannot be read: {error}") from None
    if not key:
        raise BadSetting(f"TRIVIUM_KEY_FILE: {settings.key_file} is empty")
    return key
