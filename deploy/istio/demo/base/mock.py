"""A service of the demo: answers with its name and zone, and with what the next service in the chain said.

It answers 200 whatever the next one did, and puts the failure into the chain. Were it to pass a 503 on, its own caller would count
it as a failure of this service and eject a healthy endpoint.
"""

import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ME = f"{os.environ['NAME']}({os.environ['ZONE']})"
NEXT = os.environ.get("NEXT")


def ask_next():
    """What the next service answered, or how it failed."""
    try:
        with urllib.request.urlopen(NEXT, timeout=10) as answer:
            return answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode().strip()}"
    except OSError as error:
        return f"no answer: {error}"


class Mock(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        chain = f"{ME} -> {ask_next()}" if NEXT else ME
        body = f"{chain}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet: what is to be seen is in the proxy's log."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Mock).serve_forever()
