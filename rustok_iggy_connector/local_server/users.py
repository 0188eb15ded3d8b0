"""Users, their permissions and their personal access tokens.

User 0 is root: made at the first start, all rights, cannot be deleted or cut down. Ids are the lowest free number. Of
passwords and tokens only hashes are kept. Limits are iggy-server's (core/common/src/http/users/defaults.rs,
core/server/config.toml).

Every command either does all it says or raises Refusal and changes nothing. Time is microseconds since 1970. Randomness
comes from the caller.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, TypeVar, cast

import msgspec

from rustok_iggy_connector.local_server.access import OWN_ACCOUNT, allows, denied_in_result
from rustok_iggy_connector.local_server.changes import Change, ChangeRecorder, Row
from rustok_iggy_connector.local_server.groups import lowest_free
from rustok_iggy_connector.local_server.options import NEVER, refuse_options
from rustok_iggy_connector.local_server.passwords import NOBODY, hash_password, verify_password
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.wire.codes import Command, Status
from rustok_iggy_connector.wire.commands.users import Permissions, UserStatus
from rustok_iggy_connector.wire.fields import Field
from rustok_iggy_connector.wire.primitives import Identifier

ROOT_ID: Final = 0
MIN_USERNAME_BYTES, MAX_USERNAME_BYTES = 3, 50
MIN_PASSWORD_BYTES, MAX_PASSWORD_BYTES = 3, 100
MAX_TOKENS_PER_USER: Final = 100
TOKEN_BYTES: Final = 50
"""Random bytes in a token, which is their base64 text."""

USERS, TOKENS = "users", "tokens"
"""Tables of the rows. Keys: the user id; the user id, "/" and the token's name."""

ROOT_PERMISSIONS: Final = Permissions(
    manage_servers=True,
    read_servers=True,
    manage_users=True,
    read_users=True,
    manage_streams=True,
    read_streams=True,
    manage_topics=True,
    read_topics=True,
    poll_messages=True,
    send_messages=True,
)

_Entry = TypeVar("_Entry")
Verify: TypeAlias = Callable[[str, str], bool]
"""Whether a password (first) fits a stored hash (second)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """An account. `permissions` None: no rights at all."""

    id: int
    username: str
    password_hash: str = field(repr=False)
    status: UserStatus
    created_at: int
    permissions: Permissions | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A personal access token of one user. `expires_at` None: never."""

    user_id: int
    name: str
    token_hash: str = field(repr=False)
    expires_at: int | None

    def is_expired(self, now: int) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


class Users:
    """All accounts and tokens. One owner; methods return at once, but for those that hash a password (50 ms).

    `verify` checks passwords; a caller may put a cache in front of it.
    """

    def __init__(self, *, verify: Verify = verify_password) -> None:
        self._verify = verify
        self._changes = ChangeRecorder()
        self._users: dict[int, User] = {}
        self._ids: dict[str, int] = {}
        self._tokens: dict[int, dict[str, Token]] = {}
        self._tokens_by_hash: dict[str, Token] = {}

    @classmethod
    def from_rows(cls, rows: Iterable[Change], *, verify: Verify = verify_password) -> Users:
        """The users as the rows say. Rows of other tables are passed over; bad ones raise msgspec.ValidationError."""
        users = cls(verify=verify)
        for change in rows:
            if change.table == USERS and change.row is not None:
                users._put_user(msgspec.convert(change.row, User))
            elif change.table == TOKENS and change.row is not None:
                users._put_token(msgspec.convert(change.row, Token))
        users.take_changes()
        return users

    def take_changes(self) -> list[Change]:
        """The rows touched since the last call; store them before the command is answered."""
        return self._changes.take()

    # Who is it, and may they

    def ensure_root(self, username: str, password: str, *, salt: bytes, now: int) -> bool:
        """Make root when there are no users yet; True when it was made. ValueError: name or password out of bounds."""
        if self._users:
            return False
        if not _fits(username, MIN_USERNAME_BYTES, MAX_USERNAME_BYTES):
            raise ValueError(f"the root username must have {MIN_USERNAME_BYTES} to {MAX_USERNAME_BYTES} bytes")
        if not _fits(password, MIN_PASSWORD_BYTES, MAX_PASSWORD_BYTES):
            raise ValueError(f"the root password must have {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes")
        self.create_user(username, password, permissions=ROOT_PERMISSIONS, salt=salt, now=now)
        return True

    def login(self, username: str, password: str) -> User:
        """The active user with this password. Refuses all else alike (42), and takes as long for it."""
        if not _fits(username, MIN_USERNAME_BYTES, MAX_USERNAME_BYTES) or not _fits(
            password, MIN_PASSWORD_BYTES, MAX_PASSWORD_BYTES
        ):
            raise Refusal(Status.INVALID_CREDENTIALS)
        user = self.find(username)
        fits = self._verify(password, NOBODY if user is None else user.password_hash)
        if user is None or not fits or user.status is not UserStatus.ACTIVE:
            raise Refusal(Status.INVALID_CREDENTIALS)
        return user

    def login_with_token(self, token: str, *, now: int) -> User:
        """The token's active user. Refuses an unknown or expired token (53) and an inactive user (47)."""
        found = self._tokens_by_hash.get(_token_hash(token))
        if found is None or found.is_expired(now):
            raise Refusal(Status.INVALID_TOKEN)
        user = self._users[found.user_id]
        if user.status is not UserStatus.ACTIVE:
            raise Refusal(Status.USER_INACTIVE)
        return user

    def authorize(
        self,
        user_id: int,
        command: Command,
        *,
        stream_id: int | None = None,
        topic_id: int | None = None,
        target: Identifier | None = None,
    ) -> None:
        """Refuse (41) what the user has no right to; a user who is gone has none.

        Call it with the ids of what the command names. When that does not exist, do not: "not found" comes before "not
        allowed". `target` is the account a user command is about; an unknown one passes, for the same reason.
        """
        if command in OWN_ACCOUNT and target is not None:
            about = self.find(target)
            if about is None or about.id == user_id:
                return
        user = self._users.get(user_id)
        permissions = None if user is None else user.permissions
        if not allows(permissions, command, stream_id=stream_id, topic_id=topic_id):
            raise Refusal(Status.UNAUTHORIZED, committed=denied_in_result(command))

    # Users

    @property
    def users(self) -> list[User]:
        """All users in ascending id."""
        return [self._users[user_id] for user_id in sorted(self._users)]

    def find(self, user: Identifier) -> User | None:
        """The user with this id or name."""
        user_id = self._ids.get(user) if isinstance(user, str) else user
        return None if user_id is None else self._users.get(user_id)

    def create_user(
        self,
        username: str,
        password: str,
        *,
        status: int = UserStatus.ACTIVE,
        permissions: Permissions | None = None,
        options: Iterable[Field] = (),
        salt: bytes,
        now: int,
    ) -> User:
        """Refuses a name out of bounds (43) or taken (46), and any option (4041). An unknown status means active."""
        refuse_options(options)
        self._check_username(username, but_for=None)
        user = User(
            id=lowest_free(self._users),
            username=username,
            password_hash=hash_password(password, salt=salt),
            status=_status(status) or UserStatus.ACTIVE,
            created_at=now,
            permissions=_by_id(permissions),
        )
        return self._put_user(user)

    def update_user(
        self, user: Identifier, *, username: str | None = None, status: int | None = None, options: Iterable[Field] = ()
    ) -> User:
        """Change what is given. Refuses a missing user (20), a name out of bounds (43) or taken (46)."""
        refuse_options(options)
        old = self._get(user)
        if username is not None:
            self._check_username(username, but_for=old)
        del self._ids[old.username]
        known = None if status is None else _status(status)
        return self._put_user(
            replace(
                old,
                username=old.username if username is None else username,
                status=old.status if known is None else known,
            )
        )

    def delete_user(self, user: Identifier) -> User:
        """Delete the user and the tokens. Refuses a missing user (20) and root (48)."""
        gone = self._get(user)
        if gone.id == ROOT_ID:
            raise Refusal(Status.CANNOT_DELETE_USER, committed=True)
        for token in self.tokens_of(gone.id):
            self._remove_token(token)
        del self._users[gone.id], self._ids[gone.username]
        self._changes.remove(USERS, str(gone.id))
        return gone

    def change_password(self, user: Identifier, current: str, new: str, *, salt: bytes) -> User:
        """Refuses a missing user (20) and a wrong current password (42), also from one who may manage users."""
        old = self._get(user)
        if not self._verify(current, old.password_hash):
            raise Refusal(Status.INVALID_CREDENTIALS, committed=True)
        return self._put_user(replace(old, password_hash=hash_password(new, salt=salt)))

    def update_permissions(self, user: Identifier, permissions: Permissions | None) -> User:
        """Replace the rights. Refuses a missing user (20) and root (49)."""
        old = self._get(user)
        if old.id == ROOT_ID:
            raise Refusal(Status.CANNOT_CHANGE_PERMISSIONS, committed=True)
        return self._put_user(replace(old, permissions=_by_id(permissions)))

    # Personal access tokens

    def tokens_of(self, user_id: int) -> list[Token]:
        """The user's tokens by name."""
        tokens = self._tokens.get(user_id, {})
        return [tokens[name] for name in sorted(tokens)]

    def create_token(self, user_id: int, name: str, *, expiry: int, randomness: bytes, now: int) -> str:
        """The token, which is not kept: this is the only time it can be seen.

        `expiry` is microseconds from now, 0 or 2**64 - 1 for never; `randomness` is TOKEN_BYTES fresh random bytes.
        Refuses too many tokens (52), a taken name (51), an expiry beyond what can be told (56).
        """
        tokens = self._tokens.get(user_id, {})
        if len(tokens) >= MAX_TOKENS_PER_USER:
            raise Refusal(Status.TOKENS_LIMIT_REACHED)
        if name in tokens:
            raise Refusal(Status.TOKEN_ALREADY_EXISTS, committed=True)
        expires_at = None if expiry in (0, NEVER) else now + expiry
        if expires_at is not None and expires_at >= NEVER:
            raise Refusal(Status.INVALID_TOKEN_EXPIRY, committed=True)
        text = base64.b64encode(randomness).decode("ascii")
        self._put_token(Token(user_id=user_id, name=name, token_hash=_token_hash(text), expires_at=expires_at))
        return text

    def delete_token(self, user_id: int, name: str) -> None:
        """Refuses a token that is not there (20)."""
        token = self._tokens.get(user_id, {}).get(name)
        if token is None:
            raise Refusal(Status.RESOURCE_NOT_FOUND, committed=True)
        self._remove_token(token)

    def delete_expired_tokens(self, *, now: int) -> int:
        """How many were deleted."""
        expired = [token for token in self._tokens_by_hash.values() if token.is_expired(now)]
        for token in expired:
            self._remove_token(token)
        return len(expired)

    # Inside

    def _get(self, user: Identifier) -> User:
        found = self.find(user)
        if found is None:
            raise Refusal(Status.RESOURCE_NOT_FOUND, committed=True)
        return found

    def _check_username(self, username: str, *, but_for: User | None) -> None:
        if not _fits(username, MIN_USERNAME_BYTES, MAX_USERNAME_BYTES):
            raise Refusal(Status.INVALID_USERNAME, committed=True)
        holder = self.find(username)
        if holder is not None and holder != but_for:
            raise Refusal(Status.USER_ALREADY_EXISTS, committed=True)

    def _put_user(self, user: User) -> User:
        self._users[user.id] = user
        self._ids[user.username] = user.id
        self._changes.put(USERS, str(user.id), cast("Row", msgspec.to_builtins(user)))
        return user

    def _put_token(self, token: Token) -> None:
        self._tokens.setdefault(token.user_id, {})[token.name] = token
        self._tokens_by_hash[token.token_hash] = token
        self._changes.put(TOKENS, f"{token.user_id}/{token.name}", cast("Row", msgspec.to_builtins(token)))

    def _remove_token(self, token: Token) -> None:
        del self._tokens[token.user_id][token.name], self._tokens_by_hash[token.token_hash]
        self._changes.remove(TOKENS, f"{token.user_id}/{token.name}")


def _fits(text: str, least: int, most: int) -> bool:
    return least <= len(text.encode()) <= most


def _status(code: int) -> UserStatus | None:
    return next((status for status in UserStatus if status == code), None)


def _by_id(permissions: Permissions | None) -> Permissions | None:
    """Streams and topics in ascending id, each once: what is said last of one counts."""
    if permissions is None:
        return None
    streams = {
        stream.stream_id: replace(stream, topics=_values_by_key({topic.topic_id: topic for topic in stream.topics}))
        for stream in permissions.streams
    }
    return replace(permissions, streams=_values_by_key(streams))


def _values_by_key(entries: dict[int, _Entry]) -> tuple[_Entry, ...]:
    return tuple(entries[key] for key in sorted(entries))


def _token_hash(token: str) -> str:
    """A token is 400 random bits: a fast hash keeps it as well as a slow one."""
    return hashlib.sha256(token.encode()).hexdigest()
