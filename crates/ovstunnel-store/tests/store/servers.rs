//! The same contract on the servers, each started here for itself: built with the crate's features `mysql` and `postgres` only.
//! They need `mariadbd` and PostgreSQL's programs, and root, as PostgreSQL does not run as root and is given its own user.

use crate::cloudstack_dump;
use crate::contract;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ovstunnel_store::{Fence, NewEvent, OpenOptions, Store, StoreError, TlsFiles};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;

/// A server, which ends with the test.
pub(crate) struct Server {
    child: Child,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(program: &str, arguments: &[String]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn start(program: &str, arguments: &[String], folder: TempDir) -> Server {
    let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Server { child: child.unwrap_or_else(|error| panic!("{program}: {error}")), _folder: folder }
}

/// Connects as soon as the server answers.
pub(crate) async fn connected<Options: ConnectOptions<Connection: Sized>>(options: &Options) -> Options::Connection {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match options.connect().await {
            Ok(connection) => return connection,
            Err(error) => assert!(Instant::now() < until, "the server does not answer: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A name for a database of its own.
fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("zone{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn opened(url: &str) -> Store {
    Store::open(url, "dc1", OpenOptions::default()).await.unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Several managers on one database make it together, and only who has the lease changes it, whatever the others believe.
async fn several_managers_share_it(url: &str) {
    let (a, b, idle) = tokio::join!(opened(url), opened(url), opened(url));
    assert_eq!(a.zone().await.unwrap(), b.zone().await.unwrap());
    assert_eq!(a.living_lease().await, Ok(None));
    let lease = a.take_lease("a", 3_600_000, 0).await.unwrap();
    assert_eq!(b.living_lease().await, Ok(Some(lease)));
    a.set_fence(Fence::Held("a".into()));
    b.set_fence(Fence::Held("b".into()));
    idle.set_fence(Fence::Unled);
    let refused = |by: &str| Err(StoreError::NotLeading { by: by.to_owned() });
    let put = async |store: &Store, name: &str| store.put_host(&contract::host(name)).await.map(drop);
    assert_eq!(put(&a, "h1").await, Ok(()));
    assert_eq!((put(&b, "h2").await, put(&idle, "h2").await), (refused("a"), refused("a")));
    assert_eq!(a.release_lease("a").await, Ok(true));
    assert_eq!(put(&idle, "h2").await, Ok(()));
    b.take_lease("b", 3_600_000, 0).await.unwrap();
    // It believes that it leads still.
    assert_eq!((put(&a, "h3").await, put(&b, "h3").await), (refused("b"), Ok(())));
    b.set_fence(Fence::Closed("nobody".into()));
    assert_eq!(put(&b, "h4").await, refused("nobody"));
    assert_eq!(a.hosts().await.unwrap().len(), 3);
    let other = Store::open(url, "dc2", OpenOptions::default()).await.unwrap_err();
    assert_eq!(other, StoreError::OtherZone { found: "dc1".into(), wanted: "dc2".into() });
    let said = ovstunnel_store::inspect(url, &TlsFiles::default()).await.unwrap();
    assert_eq!((said.zone.as_deref(), said.schema), (Some("dc1"), said.known));
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn mariadb_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let socket = folder.path().join("s").display().to_string();
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let datadir = format!("--datadir={data}");
    // In one folder two that are installed at once take each other's files away.
    let tmpdir = format!("--tmpdir={}", folder.path().display());
    let install = ["--no-defaults", "--user=root", &datadir, &tmpdir, "--auth-root-authentication-method=normal"];
    run("mariadb-install-db", &text(&install));
    let at = format!("--socket={socket}");
    let _server = start(
        "mariadbd",
        &text(&["--no-defaults", "--user=root", &datadir, &tmpdir, &at, "--skip-networking"]),
        folder,
    );
    let url = |name: &str| format!("mysql://root@localhost/{name}?socket={socket}");
    let options: sqlx::mysql::MySqlConnectOptions = url("").parse().unwrap();
    let admin = tokio::sync::Mutex::new(connected(&options).await);
    contract::all(|| async {
        let name = fresh_name();
        admin.lock().await.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        // Opened twice: what is there already is left alone.
        opened(&url(&name)).await.close().await;
        (opened(&url(&name)).await, ())
    })
    .await;
    admin.lock().await.execute("CREATE DATABASE together").await.unwrap();
    several_managers_share_it(&url("together")).await;
    a_deadlock_is_no_error(&url("together")).await;
    cloudstack_is_read(&admin, &url).await;
}

/// The engine takes back the smaller of two transactions that wait for each other, and that one is made again.
#[cfg(feature = "mysql")]
async fn a_deadlock_is_no_error(url: &str) {
    let store = opened(url).await;
    let event = || NewEvent { at: 1, kind: "host_added".into(), text: "h1".into(), ..NewEvent::default() };
    let id = store.append_event(event()).await.unwrap();
    let options: sqlx::mysql::MySqlConnectOptions = url.parse().unwrap();
    let mut other = connected(&options).await;
    other.execute("START TRANSACTION").await.unwrap();
    // More rows than the store changes, and the id that it will give out next.
    for row in 0..50 {
        let sql = format!("INSERT INTO ovstunnel_setting VALUES ('deadlock{row}', 'x')");
        other.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let taken = format!("INSERT INTO ovstunnel_event (id, at, kind, text) VALUES ({}, 1, 'x', 'x')", id + 1);
    other.execute(AssertSqlSafe(taken)).await.unwrap();
    let appended = tokio::spawn(async move { store.append_event(event()).await });
    let waiting = "SELECT count(*) FROM information_schema.innodb_lock_waits";
    let mut admin = connected(&options).await;
    let until = Instant::now() + Duration::from_secs(60);
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut admin).await.unwrap() == 0 {
        assert!(Instant::now() < until && !appended.is_finished(), "nobody waits");
        // The table is made anew only for who has not read it for a tenth of a second.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    other.execute("UPDATE ovstunnel_counter SET last = last WHERE name = 'event'").await.unwrap();
    assert!(!appended.is_finished());
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(appended.await.unwrap(), Ok(id + 1));
}

/// A dump of CloudStack's tables, by a session that cannot write.
#[cfg(feature = "mysql")]
async fn cloudstack_is_read(
    admin: &tokio::sync::Mutex<sqlx::mysql::MySqlConnection>,
    url: &(impl Fn(&str) -> String + Sync),
) {
    use crate::cloudstack_dump::Layout;
    use ovstunnel_store::cloudstack::CloudStack;
    for layout in [Layout::Before49, Layout::Since49] {
        let name = fresh_name();
        admin.lock().await.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let options: sqlx::mysql::MySqlConnectOptions = url(&name).parse().unwrap();
        connected(&options).await.execute(AssertSqlSafe(cloudstack_dump::for_mysql(layout))).await.unwrap();
        let cloud = CloudStack::open(&url(&name)).await.unwrap();
        cloudstack_dump::check(&cloud.read_tables().await.unwrap(), layout);
        cloud.close().await;
    }
    let error = CloudStack::open(&url("nosuch")).await.unwrap_err().to_string();
    assert!(error.contains("Unknown database 'nosuch'"), "{error}");
}

#[cfg(feature = "postgres")]
pub(crate) fn postgres_programs() -> std::path::PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL of Debian in /usr/lib/postgresql")
        .map(|entry| entry.unwrap().path().join("bin"))
        .collect();
    versions.sort();
    versions.pop().expect("a version of PostgreSQL")
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgresql_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let programs = postgres_programs();
    let program = |name: &str| programs.join(name).display().to_string();
    let at = |path: &Path| path.display().to_string();
    run("chown", &["postgres".into(), at(folder.path())]);
    let data = at(&folder.path().join("data"));
    let as_postgres = ["--reuid=postgres", "--regid=postgres", "--clear-groups"].map(str::to_owned);
    let with = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned());
        as_postgres.iter().cloned().chain(words).collect::<Vec<_>>()
    };
    run("setpriv", &with(&[&program("initdb"), "-D", &data, "-A", "trust", "--no-sync", "-E", "UTF8"]));
    let place = at(folder.path());
    let server = with(&[&program("postgres"), "-D", &data, "-k", &place, "-c", "listen_addresses="]);
    let _server = start("setpriv", &server, folder);
    let url = |name: &str| format!("postgres://postgres@localhost/{name}?host={place}");
    let options: sqlx::postgres::PgConnectOptions = url("postgres").parse().unwrap();
    let admin = tokio::sync::Mutex::new(connected(&options).await);
    contract::all(|| async {
        let name = fresh_name();
        admin.lock().await.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        opened(&url(&name)).await.close().await;
        (opened(&url(&name)).await, ())
    })
    .await;
    admin.lock().await.execute("CREATE DATABASE together").await.unwrap();
    several_managers_share_it(&url("together")).await;
}
