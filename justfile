# Short names for `cargo xtask`; `just` alone lists them.
default:
    @just --list

# Everything CI runs; `just test --full` for the long runs, `just test -- NAME` for some tests
test *ARGS:
    cargo xtask test {{ARGS}}

# A guided walk through the image commands
demo *ARGS:
    cargo xtask demo {{ARGS}}

# Pictures of the hub's pages for the README (root)
screenshots *ARGS:
    cargo xtask screenshots {{ARGS}}

# Realistic images in a local registry (root)
corpus *ARGS:
    cargo xtask corpus {{ARGS}}

# Measure Strata and its peers (root)
bench *ARGS:
    cargo xtask bench {{ARGS}}

# Inputs that break a parser; `just fuzz --minutes 10 reference`
fuzz *ARGS:
    cargo xtask fuzz {{ARGS}}

fmt:
    cargo fmt --all

build:
    cargo build --release --package strata
