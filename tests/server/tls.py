"""A TLS front before a plain server, with certificates made for the test."""

import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class Authority:
    """A CA of its own in *folder*."""

    folder: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA for tests")])
        self.certificate = self._signed(self._name, self._key, ca=True)
        self.path = self._saved("ca", self._key, self.certificate)

    def server(self, host: str = "127.0.0.1", *, ended: bool = False, signed: bool = True) -> Path:
        """Key and certificate for *host* in one file; *ended*: expired; not *signed*: by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
        certificate = self._signed(name, key, host=host, ended=ended, by=self._key if signed else key)
        return self._saved(f"{host}-{ended}-{signed}", key, certificate)

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        host: str = "127.0.0.1",
        ended: bool = False,
        ca: bool = False,
        by: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        signer = by or self._key
        now = datetime.now(UTC)
        issuer = name if signer is key else self._name
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * DAY)
            .not_valid_after(now - DAY if ended else now + DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
            # Of Python 3.13 on certificates are judged strictly (RFC 5280; ssl.VERIFY_X509_STRICT).
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .add_extension(_usage(ca=ca), critical=True)
            .sign(signer, SHA256())
        )

    def _saved(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
        path = self.folder / f"{name}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        return path


def context(pem: Path, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """What a server speaks that has key and certificate in *pem* and TLS up to *newest*."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(pem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.1 is what the test is about
        if newest < ssl.TLSVersion.TLSv1_2:
            found.set_ciphers("ALL:@SECLEVEL=0")
            found.minimum_version = ssl.TLSVersion.TLSv1
        found.maximum_version = newest
    return found


@contextmanager
def tls_front(port: int, speaks: ssl.SSLContext) -> Iterator[tuple[str, list[bytes]]]:
    """The base address of a TLS front before 127.0.0.1:*port*, and what came through it in clear."""
    seen: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=_front, args=(connection, port, speaks, seen)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/fhir", seen
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for thread in [accepting, *threads]:
            thread.join(10)


def _front(connection: socket.socket, port: int, speaks: ssl.SSLContext, seen: list[bytes]) -> None:
    """One connection: a request through, its answer back, until the client hangs up."""
    connection.settimeout(10)
    with suppress(OSError), connection, speaks.wrap_socket(connection, server_side=True) as secure:
        while data := secure.recv(1 << 20):
            seen.append(data)
            with socket.create_connection(("127.0.0.1", port), timeout=10) as behind:
                behind.sendall(_whole(data, secure).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                answer = b"".join(iter(lambda: behind.recv(1 << 20), b""))
            secure.sendall(answer)
            return


def _whole(data: bytes, secure: ssl.SSLSocket) -> bytes:
    """A request to the end of its body."""
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    wanted = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < wanted:
        body += secure.recv(1 << 20)
    return head + b"\r\n\r\n" + body
