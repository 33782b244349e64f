#!/usr/bin/env python3
"""A network's bridge with two tunnels, by Python's standard library: set up, look, one tunnel more, remove.

usage: ovstunnel.py              on the host itself, as root, by the Unix socket
       ovstunnel.py URL DIR      from elsewhere; DIR has ca.crt, client.crt and client.key
OVSTUNNEL_SOCKET names another socket.
"""

import http.client
import json
import os
import socket
import ssl
import sys
import urllib.parse


class Refused(Exception):
    """The daemon answered with an error; `problem` is its JSON, of which `code` is for programs."""

    def __init__(self, problem):
        super().__init__("{code}: {detail}".format(**problem))
        self.problem = problem


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """One daemon. The same request twice is a success, so one whose outcome is unknown can be asked again."""

    def __init__(self, url=None, folder=None, path="/run/ovstunnel/ovstunneld.sock", timeout=60):
        if url is None:
            self.connect = lambda: UnixConnection(path, timeout)
            return
        where = urllib.parse.urlsplit(url)
        tls = ssl.create_default_context(cafile=os.path.join(folder, "ca.crt"))
        tls.load_cert_chain(os.path.join(folder, "client.crt"), os.path.join(folder, "client.key"))
        self.connect = lambda: http.client.HTTPSConnection(where.hostname, where.port or 8443, timeout=timeout, context=tls)

    def ask(self, method, path, body=None):
        """What the daemon answers, as JSON; raises `Refused` where that is an error."""
        connection = self.connect()
        try:
            headers = {} if body is None else {"content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise Refused(answer)
        return answer


def main(arguments):
    if len(arguments) == 2:
        client = Client(url=arguments[0], folder=arguments[1])
    else:
        client = Client(path=os.environ.get("OVSTUNNEL_SOCKET", "/run/ovstunnel/ovstunneld.sock"))
    bridge = "/v1/bridges/example0"
    tunnels = [{"to": 2, "remote_ip": "192.0.2.2"}, {"to": 3, "remote_ip": "192.0.2.3"}]

    # The complete set of tunnels: what is missing is made, what is not named goes.
    answer = client.ask("PUT", bridge, {"key": 1001, "host_id": 1, "tunnels": tunnels})
    print("set up:", answer["outcome"])

    # What would be done for a smaller set; nothing is changed.
    plan = client.ask("PUT", bridge + "?dry_run=true", {"key": 1001, "host_id": 1, "tunnels": tunnels[:1]})
    print("would:", "; ".join(plan["changes"]))

    answer = client.ask("POST", bridge + "/tunnels", {"from": 1, "to": 4, "remote_ip": "192.0.2.4"})
    port = answer["tunnel"]["port"]
    for tunnel in client.ask("GET", bridge)["tunnels"]:
        print(tunnel["port"], "to", tunnel["remote_ip"], "is", tunnel["state"])
    print(port, client.ask("DELETE", "{}/tunnels/{}".format(bridge, port))["outcome"])

    try:
        client.ask("POST", bridge + "/tunnels", {"from": 1, "to": 4, "remote_ip": "192.0.2"})
    except Refused as refused:
        print("refused:", refused.problem["code"], refused.problem["field"])

    print("removed:", client.ask("DELETE", bridge)["outcome"])


if __name__ == "__main__":
    main(sys.argv[1:])
