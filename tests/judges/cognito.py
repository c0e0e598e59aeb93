"""Moto's user pools of Cognito, at the hosts of AWS: behind an HTTPS proxy.

Arguments: port, a file with the key and the certificate of a region's hosts, by the name that moto looks for.
"""

import os
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from moto.moto_proxy.certificate_creator import CertificateCreator
from moto.moto_proxy.proxy3 import ProxyRequestHandler

port, certificate = sys.argv[1:]
os.environ |= {"MOTO_PORT": port, "TEST_PROXY_MODE": "true"}
CertificateCreator.certkey = certificate
CertificateCreator.certdir = str(Path(certificate).parent)


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", int(port)), ProxyRequestHandler)
print("ready", flush=True)  # noqa: T201 - the test waits for it
server.serve_forever()
