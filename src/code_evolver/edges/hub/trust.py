"""Which certificates count: the system's, and those of `ca_file`. Built only for addresses that use TLS."""

import ssl
from functools import lru_cache

from code_evolver.core.errors import ConfigurationError
from code_evolver.core.strict_json import show


@lru_cache(maxsize=4)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Give a verifying client context. Raises ConfigurationError for a `ca_file` that cannot be used."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            reason = error.strerror or "it holds no certificate in PEM form"
            raise ConfigurationError(f"The ca_file {show(ca_file)} cannot be used: {reason}.",
                                     "Give a file with certificates in PEM form.") from error  # fmt: skip
    return context


def tls_problem(error: BaseException) -> ssl.SSLError | None:
    """Find the TLS error among an exception and its causes."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None or isinstance(seen, ssl.SSLError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def refusal(problem: ssl.SSLError) -> tuple[str, str]:
    """Say what went wrong in the TLS handshake, and what to do."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        reason = problem.verify_message or "it cannot be verified"
        return f"has a certificate that is not trusted: {reason}", "Name the issuer's certificate (PEM) in ca_file."
    return (f"does not speak TLS as expected: {problem.reason or 'the handshake failed'}",
            "Check whether hub_url should begin with http:// instead of https://.")  # fmt: skip
