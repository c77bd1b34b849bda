"""Checks webhooks by the library of Standard Webhooks, and says of each whether it is right.

Prints the port first, then a line for each call. The first call is refused after it was checked, so
that it comes again, with another time and signature.
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook

SECRET = sys.argv[1]
answers = [500]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            call = Webhook(SECRET).verify(body, headers)
            said = f"right {headers['webhook-id']} {call['type']} {call['data']['action']}"
        except Exception as error:
            said = f"wrong {error!r}"
        try:
            Webhook(SECRET).verify(body + b" ", headers)
            said = "wrong: another body is taken, too"
        except Exception:
            pass
        self.send_response(answers.pop() if answers else 204)
        self.end_headers()
        print(said, flush=True)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
