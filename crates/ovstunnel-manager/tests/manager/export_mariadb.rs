//! `export` into a MariaDB that is started here, with CloudStack's tables in both layouts. `scripts/test --long` runs it: the server has to be
//! installed.

use std::process::{Child, Command, Stdio};

use crate::cloudstack_dump::{Layout, for_mysql};
use crate::common::until;
use crate::exporting::{round_trip, zone};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

/// A server, which ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const ROWS: [&str; 3] = [
    "SELECT CONCAT_WS('|', id, IFNULL(ip, 'NULL'), IFNULL(netmask, 'NULL'), IFNULL(mac, 'NULL'), host_id, label) FROM ovs_tunnel_interface ORDER BY id",
    "SELECT CONCAT_WS('|', id, `from`, `to`, network_id, `key`, IFNULL(port_name, 'NULL'), state) FROM ovs_tunnel_network ORDER BY id",
    "SELECT CONCAT_WS('|', `key`, mac) FROM op_lock ORDER BY `key`",
];

async fn connect(url: &str) -> MySqlConnection {
    let options: MySqlConnectOptions = url.parse().unwrap();
    until("the server to answer", async || options.connect().await.ok()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a server of its own and reads what CloudStack has: scripts/test --long"]
async fn what_is_exported_does_not_differ_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (data, socket) = (format!("--datadir={}", at("data")), format!("--socket={}", at("s")));
    let mut install = Command::new("mariadb-install-db");
    install.args(["--no-defaults", "--user=root", &data, "--auth-root-authentication-method=normal"]);
    assert!(install.stdout(Stdio::null()).status().expect("mariadb-install-db").success());
    let mut server = Command::new("mariadbd");
    server.args(["--no-defaults", "--user=root", &data, &socket, "--skip-networking"]);
    let _server = Server(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mariadbd"));
    let url = |name: &str| format!("mysql://root@localhost/{name}?socket={}", at("s"));
    for (name, layout) in [("cloud48", Layout::Before49), ("cloud49", Layout::Since49)] {
        connect(&url("")).await.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let url = url(name);
        let run = async |statements: &str| {
            connect(&url).await.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
        };
        let rows = async || {
            let (mut connection, mut text) = (connect(&url).await, String::new());
            for statement in ROWS {
                for row in sqlx::query(statement).fetch_all(&mut connection).await.unwrap() {
                    text = text + &row.get::<String, _>(0) + "\n";
                }
            }
            text
        };
        run(&for_mysql(layout)).await;
        let (_bench, config) = zone(&url).await;
        round_trip(&config, run, rows).await;
    }
}
