# introspod alone in an image, static for the platform that it runs on:
#
#     docker buildx build --platform linux/amd64,linux/arm64 --tag registry.example.com/introspod .
#
# The build stage runs on the target platform itself, native or emulated: a cross-compiler for the C
# and assembly in ring would be one more thing to keep.

FROM docker.io/library/rust:1-slim-bookworm AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
# The dependencies are a layer of their own, built with nothing in place of the sources: they seldom change.
RUN mkdir src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --release --locked
COPY src src
# Cargo goes by time, and the sources may be older than what stood in their place.
RUN touch src/main.rs src/lib.rs \
 && cargo build --release --locked \
 && cp target/*/release/introspod ..

FROM scratch
LABEL org.opencontainers.image.title="introspod" \
      org.opencontainers.image.description="Makes a Kubernetes pod know itself: gathers, renders and becomes the application" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.source="https://github.com/introspod/introspod" \
      org.opencontainers.image.documentation="https://github.com/introspod/introspod#readme"
COPY --from=build /introspod /introspod
USER 65532:65532
ENTRYPOINT ["/introspod"]
