"""A receiver of webhooks: verifies each message, takes it once, and answers before it works.

    pip install standardwebhooks
    DESCENT_WEBHOOK_HOSTS=127.0.0.1 make serve       # it is neither https nor public
    SECRET=whsec_... python examples/webhook_receiver.py 9000

`SECRET` is what `POST /v1/webhooks` with `{"url": "http://127.0.0.1:9000/"}` answered.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

MOST_BYTES = 10_000_000
webhook = Webhook(os.environ["SECRET"])
seen: set[str] = set()
"""A real receiver keeps these where they outlive it."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(min(length, MOST_BYTES))
        try:
            told = webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError as error:
            self.answer(401)
            print("refused:", error, flush=True)
            return
        self.answer(204)
        # It may come again, where our answer was lost.
        if self.headers["webhook-id"] not in seen:
            seen.add(self.headers["webhook-id"])
            print(told["type"], told["data"].get("id"), told["data"].get("verdict"), flush=True)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print(f"listening on {server.server_address[1]}", flush=True)
        server.serve_forever()
