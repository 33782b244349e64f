# Writes as OpenStack does. First argument: "neutron" (the agent's ovs_lib, for tunnels) or "os-vif" (for VIFs, as Nova's
# compute does); second: the database's socket. Reads one JSON command a line and answers each with one JSON line.
import json
import sys
from types import SimpleNamespace

library, remote = sys.argv[1], "unix:" + sys.argv[2]
# oslo.config would read ours.
sys.argv = ["bench"]


def neutron():
    from neutron.agent.common import ovs_lib
    from neutron.conf.agent import ovs_conf
    from oslo_config import cfg

    ovs_conf.register_ovs_agent_opts()
    cfg.CONF([], project="bench", default_config_files=[], default_config_dirs=[])
    cfg.CONF.set_override("ovsdb_connection", remote, "OVS")
    bridges = {}

    def bridge(command):
        name = command["bridge"]
        return bridges.setdefault(name, ovs_lib.OVSBridge(name, datapath_type="netdev"))

    def add(command):
        # It returns the number of the port, and waits for it.
        if bridge(command).add_tunnel_port(command["port"], command["remote_ip"], command["local_ip"], tunnel_type="gre") <= 0:
            raise RuntimeError("the port has no number")

    return ovs_lib.BaseOVS().ovsdb, {"add": add, "remove": lambda command: bridge(command).delete_port(command["port"])}


def os_vif():
    from vif_plug_ovs.ovsdb import ovsdb_lib

    config = SimpleNamespace(ovs_vsctl_timeout=120, ovsdb_connection=remote, ovsdb_interface="native")
    ovs = ovsdb_lib.BaseOVS(config)

    def plug(command):
        ovs.create_ovs_vif_port(command["bridge"], command["vif"], command["iface_id"], command["mac"], command["vm"])

    def unplug(command):
        ovs.delete_ovs_vif_port(command["bridge"], command["vif"], delete_netdev=False)

    return ovs.ovsdb, {"plug": plug, "unplug": unplug}


api, commands = {"neutron": neutron, "os-vif": os_vif}[library]()
commands["sync"] = lambda command: api.db_set("Open_vSwitch", ".", ("external_ids", {"bench": command["mark"]})).execute(
    check_error=True
)

for line in sys.stdin:
    try:
        command = json.loads(line)
        commands[command["do"]](command)
        answer = {"ok": True}
    except Exception as error:  # what went wrong is told, whatever it is
        answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
