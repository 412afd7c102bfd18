# syntax=docker/dockerfile:1
# The image of oncepay: `docker build -t oncepay .`

# The rust-version of Cargo.toml, on the Debian of the second stage: both have one glibc.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# The dependencies alone first: this layer is kept until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --locked --profile dist --bin oncepay \
    && rm -r src target/dist/oncepay target/dist/deps/*oncepay* target/dist/.fingerprint/oncepay-*
COPY migrations migrations
COPY deploy/haproxy.cfg deploy/haproxy.cfg
COPY src src
RUN cargo build --locked --profile dist --bin oncepay

FROM debian:bookworm-slim
# The certificates against which the provider's is checked.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/oncepay --create-home oncepay
COPY --from=build /build/target/dist/oncepay /usr/local/bin/oncepay
USER 10001:10001
# Where a SQLite file would be; with PostgreSQL nothing is written.
WORKDIR /var/lib/oncepay
ENV ONCEPAY_LISTEN=0.0.0.0:8080
EXPOSE 8080
# A stop takes twice limits.shutdown_timeout_s at most: give it 70 s before it is killed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["oncepay"]
CMD ["serve"]
