# Short names for the scripts: `just` lists them. Each is a line that can be typed as well.

# Lists the recipes
default:
    @just --list --unsorted

# Installs what is needed to build, test and run the demo
setup *what:
    ./scripts/setup {{ what }}

# All checks but those on real switches; before each commit
fast:
    ./scripts/test --fast

# All checks on the machine's own switch
test:
    ./scripts/test

# All checks on all switches and kernels
long:
    ./scripts/test --long

# Tests of one program with these words in their names, for example `just one daemon api::`
one program *words:
    RUST_BACKTRACE=0 cargo test --locked --quiet --workspace --test {{ program }} -- --test-threads=1 {{ words }}

# Formats and lints
lint:
    cargo fmt --all
    cargo clippy --locked --workspace --all-targets --quiet -- -D warnings

# Writes anew the pages that are written from the source, and the OpenAPI document
docs:
    UPDATE_DOCS=1 cargo test --locked --quiet --package ovstunneld --lib --test daemon -- reference openapi the_guide_has_the_same_table

# Three hosts, a mesh, and each frame counted
demo *options:
    ./scripts/demo {{ options }}

# Packages into target/package
package *options:
    ./scripts/package {{ options }}

# Fuzzes the parsers of foreign text
fuzz *options:
    ./scripts/fuzz {{ options }}

# Compares the answers of a daemon with its description
schemathesis *examples:
    ./scripts/schemathesis {{ examples }}

# A daemon on a simulated switch, as any user, until Ctrl-C
simulate socket="/tmp/ovstunneld.sock":
    cargo build --locked --quiet --package ovstunneld
    printf '[api]\nlisten = "off"\nsocket = "%s"\n[log]\nfile = "%s.log"\n' {{ socket }} {{ socket }} > {{ socket }}.toml
    target/debug/ovstunneld --simulate --config {{ socket }}.toml
