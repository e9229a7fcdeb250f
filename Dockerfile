# An image that holds introspod alone, built from source:
#
#     docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION="$(release/version)" \
#         --tag registry.example.com/introspod .
#
# The build stage runs on the target platform itself, natively or emulated. `release/build` makes the
# same image for both platforms without Docker, from binaries that it has cross-compiled.

# musl is the C library of Alpine, so this build is static. Before you publish what you build, pin the
# base image by its digest here: rust:1-alpine@sha256:… (`docker buildx imagetools inspect rust:1-alpine`).
FROM docker.io/library/rust:1-alpine AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
# The dependencies are a layer of their own, built with an empty program: they seldom change.
RUN mkdir src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --release --locked
COPY src src
# Cargo compares times, and the sources may be older than the empty program.
RUN touch src/main.rs src/lib.rs \
 && cargo build --release --locked \
 && cp target/*/release/introspod ..

FROM scratch
# As `release/version` prints it.
ARG VERSION
LABEL org.opencontainers.image.title="introspod" \
      org.opencontainers.image.description="Makes a Kubernetes pod know itself: gathers, renders and becomes the application" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.source="https://github.com/introspod/introspod" \
      org.opencontainers.image.documentation="https://github.com/introspod/introspod#readme"
COPY --from=build /introspod /introspod
USER 65532:65532
ENTRYPOINT ["/introspod"]
