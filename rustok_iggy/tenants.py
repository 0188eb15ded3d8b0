"""How a tenant may be named from outside: by slug, by UUID, or by host.

Anything else is refused before it reaches a name, a path, a query or a log; the errors never quote it.
"""

from __future__ import annotations

import re
from uuid import UUID

from rustok_iggy.errors import ValidationError

MAX_HOST_LENGTH = 253
"""The longest name DNS can carry (RFC 1035 §2.3.4, as text)."""

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

# Names that a platform needs for itself.
RESERVED_SLUGS = frozenset(
    {
        # hosts and paths
        "api",
        "admin",
        "www",
        "app",
        "cdn",
        "assets",
        "static",
        "docs",
        "swagger",
        # operations
        "health",
        "metrics",
        "status",
        "root",
        "system",
        # mail and file services
        "mail",
        "smtp",
        "pop",
        "pop3",
        "imap",
        "ftp",
        "sftp",
        "ssh",
        "vpn",
        "dns",
        # sign-in
        "auth",
        "oauth",
        "login",
        "logout",
        "register",
        "signup",
        "signin",
        # stages
        "dev",
        "test",
        "testing",
        "stage",
        "staging",
        "prod",
        "production",
        "localhost",
        # backing services
        "db",
        "database",
        "cache",
        "redis",
        "postgres",
        "mysql",
        "mongo",
        "kafka",
        "iggy",
    }
)


def tenant_slug(text: str) -> str:
    """Return the slug, trimmed and lower-cased. Raises ValidationError for a reserved one or any other text."""
    slug = _folded(text)
    if not _SLUG.fullmatch(slug):
        raise ValidationError(["slug: 1 to 63 letters a-z, digits and hyphens, not starting with a hyphen"])
    if slug in RESERVED_SLUGS:
        raise ValidationError(["slug: is reserved"])
    return slug


def tenant_uuid(text: str) -> UUID:
    """Return the tenant's id. Raises ValidationError for the nil UUID or any other text."""
    folded = _folded(text)
    if not _UUID.fullmatch(folded):
        raise ValidationError(["tenant_id: must be a UUID"])
    tenant_id = UUID(folded)
    if not tenant_id.int:
        raise ValidationError(["tenant_id: must not be nil"])
    return tenant_id


def tenant_host(text: str) -> str:
    """Return the host name without port, trimmed and lower-cased. Raises ValidationError for any other text."""
    host = _folded(text)
    if len(host) > MAX_HOST_LENGTH or not _HOST.fullmatch(host):
        raise ValidationError([f"host: must be a host name of at most {MAX_HOST_LENGTH} characters, without port"])
    return host


def _folded(text: str) -> str:
    # Unicode lower-casing turns some foreign letters into ASCII ones (the Kelvin sign into k): refuse, never fold.
    return text.strip().lower() if text.isascii() else ""
