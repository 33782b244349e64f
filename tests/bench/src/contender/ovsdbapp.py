# Writes by ovsdbapp as Neutron's agent does: one process that keeps its connection and its copy of the database.
# Reads one JSON command a line from standard input and answers each with one JSON line. Argument: the database's socket.
import json
import sys

from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.open_vswitch import impl_idl

idl = connection.OvsdbIdl.from_server("unix:" + sys.argv[1], "Open_vSwitch")
api = impl_idl.OvsdbIdl(connection.Connection(idl=idl, timeout=120))


def add_tunnels(txn, bridge, tunnels):
    for tunnel in tunnels:
        name = tunnel["port"]
        txn.add(api.add_port(bridge, name))
        txn.add(api.db_set("Interface", name, ("type", "gre"), ("options", tunnel["options"])))
        txn.add(api.db_set("Port", name, ("protected", True), ("external_ids", tunnel["marks"])))


def carry_out(command):
    what, bridge = command["do"], command.get("bridge")
    # The transaction waits for ovs-vswitchd, as Neutron's does.
    with api.transaction(check_error=True, log_errors=False) as txn:
        if what == "sync":
            txn.add(api.db_set("Open_vSwitch", ".", ("external_ids", {"bench": command["mark"]})))
        elif what == "add":
            add_tunnels(txn, bridge, command["tunnels"])
        elif what == "set_up":
            txn.add(api.add_br(bridge, datapath_type="netdev"))
            txn.add(api.db_set("Port", bridge, ("protected", True)))
            columns = [(name, command[name]) for name in ("external_ids", "other_config")]
            txn.add(api.db_set("Bridge", bridge, ("stp_enable", False), *columns))
            add_tunnels(txn, bridge, command["tunnels"])
        elif what == "remove":
            txn.add(api.del_port(command["port"], bridge=bridge))
        elif what == "remove_bridge":
            txn.add(api.del_br(bridge))


for line in sys.stdin:
    try:
        carry_out(json.loads(line))
        answer = {"ok": True}
    except Exception as error:  # what went wrong is told, whatever it is
        answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
