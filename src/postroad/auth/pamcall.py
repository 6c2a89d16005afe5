"""One conversation with PAM, in the thread that calls: whether a password is right, and whether its user may log in.

Through libpam by ctypes, which lets other threads run meanwhile. Invariant: PAM's copy of the password is the only one
made here, which PAM wipes and frees; PAM's own delay after a failure is not waited for, because the driver has one.
"""

import ctypes
from collections.abc import Callable
from typing import Final

from msgspec import Struct

LIBRARY: Final = "libpam.so.0"
SUCCESS: Final = 0
SYSTEM: Final = 4
USER_UNKNOWN: Final = 10
CONVERSATION: Final = 19
NEW_PASSWORD: Final = 12
PASSWORD_EXPIRED: Final = 27

_PROMPT_SECRET: Final = 1
_PROMPT_SHOWN: Final = 2
_USER: Final = 2
_RHOST: Final = 4
_FAIL_DELAY: Final = 10
_FLAGS: Final = 0x8000 | 0x1  # silent; no account without a password
_MESSAGES: Final = 32  # PAM_MAX_NUM_MSG


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Converse = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)
_Delay = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = (("converse", _Converse), ("data", ctypes.c_void_p))


class PamAnswer(Struct, frozen=True, gc=False):
    """PAM's code, its words for it, and who the user is in the end: modules may change that."""

    code: int
    words: str
    user: str


class Pam:
    """The library. `folder` has the files of services instead of /etc/pam.d."""

    def __init__(self, folder: str = "") -> None:
        """OSError when libpam is not there."""
        self._pam = ctypes.CDLL(LIBRARY)
        self._libc = ctypes.CDLL(None)
        self._folder = folder.encode()
        self._pam.pam_strerror.restype = ctypes.c_char_p
        self._pam.pam_strerror.argtypes = (ctypes.c_void_p, ctypes.c_int)
        self._pam.pam_end.argtypes = (ctypes.c_void_p, ctypes.c_int)
        for name in ("pam_authenticate", "pam_acct_mgmt"):
            getattr(self._pam, name).argtypes = (ctypes.c_void_p, ctypes.c_int)
        for name in ("pam_set_item", "pam_get_item"):
            getattr(self._pam, name).argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._libc.calloc.restype = ctypes.c_void_p
        self._libc.calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
        self._libc.strdup.restype = ctypes.c_void_p
        self._libc.strdup.argtypes = (ctypes.c_char_p,)
        self._no_delay = _Delay(_pass_over)

    def check(self, service: str, user: str, secret: str | None, ip: str) -> PamAnswer:
        """Whether `secret` is the user's, None for one who has proved it otherwise, and whether the user may log in.

        Takes as long as the modules of `service` take.
        """
        name = user.encode()
        converse = _Converse(self._answers(name, b"" if secret is None else secret.encode()))
        conversation = _Conversation(converse, None)
        handle = ctypes.c_void_p()
        start = (service.encode(), name, ctypes.byref(conversation))
        if self._folder:
            code = self._pam.pam_start_confdir(*start, self._folder, ctypes.byref(handle))
        else:
            code = self._pam.pam_start(*start, ctypes.byref(handle))
        if code != SUCCESS:
            return PamAnswer(SYSTEM, "PAM does not start", user)
        try:
            host = ctypes.create_string_buffer(ip.encode())
            self._pam.pam_set_item(handle, _RHOST, host)
            self._pam.pam_set_item(handle, _FAIL_DELAY, ctypes.cast(self._no_delay, ctypes.c_void_p))
            if secret is not None:
                code = self._pam.pam_authenticate(handle, _FLAGS)
            if code == SUCCESS:
                code = self._pam.pam_acct_mgmt(handle, _FLAGS)
            words = (self._pam.pam_strerror(handle, code) or b"").decode(errors="replace")
            return PamAnswer(code, words, self._user(handle) or user)
        finally:
            self._pam.pam_end(handle, code)

    def _user(self, handle: ctypes.c_void_p) -> str:
        found = ctypes.c_char_p()
        if self._pam.pam_get_item(handle, _USER, ctypes.byref(found)) != SUCCESS or not found.value:
            return ""
        return found.value.decode(errors="replace")

    def _answers(self, user: bytes, secret: bytes) -> Callable[..., int]:
        """What PAM calls with its questions: a secret is asked for without echo, a name with it."""

        def converse(count: int, messages: "ctypes._Pointer[ctypes._Pointer[_Message]]", out: object, _: object) -> int:
            if not 0 < count <= _MESSAGES:
                return CONVERSATION
            memory = self._libc.calloc(count, ctypes.sizeof(_Response))
            if not memory:
                return CONVERSATION
            responses = ctypes.cast(memory, ctypes.POINTER(_Response))
            for at in range(count):
                style = messages[at].contents.style
                if style in {_PROMPT_SECRET, _PROMPT_SHOWN}:
                    responses[at].text = self._libc.strdup(secret if style == _PROMPT_SECRET else user)
            ctypes.cast(out, ctypes.POINTER(ctypes.POINTER(_Response)))[0] = responses  # type: ignore[arg-type]
            return SUCCESS

        return converse


def _pass_over(_code: int, _microseconds: int, _data: object) -> None:
    """Do not wait."""
