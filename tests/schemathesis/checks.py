"""Checks of answers beyond those of schemathesis."""

import schemathesis

# What a schema cannot say, in the words of the answers.
BETWEEN_FIELDS = (
    "must be given where the bridge has no host_id",
    "must be another host's id than `from`",
    "must be another host's address, and this is one of this host's",
    "must be another host's address, and this is the ",
    "must be a port of bridge ",
    "must be the port of a tunnel of bridge ",
    "must be absent with this action",
    "must not be a VIF",
    "must not be a tunnel of ovstunnel's",
    "must not be the bridge's own port",
    "must not stand twice",
    "must be the key of bridge ",
    "must be the network of bridge ",
    "must not be a name of Open vSwitch's own",
    "must be there once",
    "must come with the key of the bridges that are adopted",
    "must be there where the other end's address is",
    "must be icmp, tcp or udp, and only with from_ip and to_ip",
    "must be 1 to 65535 with tcp and udp, and absent otherwise",
    "must be an IPv4 address where tunnels are of kind gre and the bridge is in the kernel's datapath",
    "must be from 1 to 4096 where the isolation is not GRE",
    # What a pattern cannot say: how large a number in a list of ranges is, how long a duration, what an address.
    "must be a whole number from 1 to 2147483647",
    "must have ranges whose first number is not larger than the last",
    "must be a duration of at most a minute, such as 5s",
    "must be an IPv4 or IPv6 address",
    "must not be key-KEY, which names a network that is only seen",
    # When that is.
    "must be a time within the next 30 days",
    # What a URL is, no pattern says.
    "must be https://HOST:8443: ",
    # To a schema 1.0 is whole.
    "must be a whole number, not negative",
)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Takes away a header that is meant to be good and is not: what has a pattern is filled with 0 in the phase 'coverage'."""
    good = case.meta is not None and case.meta.generation.mode.is_positive
    if good and case.headers and case.headers.get("ovstunnel-epoch") == "0":
        del case.headers["ovstunnel-epoch"]


@schemathesis.check
def only_rules_between_fields(ctx, response, case):
    """A request that the schema allows is refused with 400 only for a rule that no schema can say."""
    good = case.meta is not None and case.meta.generation.mode.is_positive
    if good and response.status_code == 400:
        rule = response.json().get("rule", "")
        assert rule.startswith(BETWEEN_FIELDS), f"the schema does not say this rule: {rule!r}"


@schemathesis.check
def errors_are_problems(ctx, response, case):
    """Every error, whoever found it, is a problem whose parts agree with each other and with the answer's head."""
    if response.status_code < 400 or case.operation.path == "/readyz":
        return
    kind = response.headers.get("content-type", [""])[0]
    assert kind == "application/problem+json", f"an error of type {kind!r}"
    problem = response.json()
    assert problem["status"] == response.status_code, problem
    assert problem["type"] == f"urn:ovstunnel:problem:{problem['code']}", problem
    assert problem["title"] and problem["detail"], problem
    assert [problem["request_id"]] == response.headers.get("x-request-id"), problem
    assert len(problem["detail"]) < 2000, "what the client sent comes back at length"
    if response.status_code == 405:
        assert response.headers.get("allow"), "no word of what is allowed"
