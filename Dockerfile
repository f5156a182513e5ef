# Both programs, joined by a pipe. Build: docker build -t mailroom .
#
#   docker run --env-file FILE mailroom mailroom-collect migrate   once, and after each upgrade
#   docker run --env-file FILE mailroom                            the pipeline
#
# Stop it with `docker stop --time 30`. A call to SES in progress may take half a lease (15 s) to end,
# and Docker kills after 10 s.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
# Its own layer, so a change of our code does not download the build tool again.
COPY .ci/image-build.txt .ci/image.txt .ci/
RUN python -m venv tools \
    && tools/bin/pip install --no-cache-dir --require-hashes --requirement .ci/image-build.txt
# src links to migrations and templates, and the wheel brings manual pages and shell completion.
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY templates templates
COPY docs/man docs/man
COPY docs/completion docs/completion
COPY src src
# A venv without pip, with the package versions that the tests last passed with, checked by hash.
RUN tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
    && python -m venv --without-pip /opt/mailroom \
    && tools/bin/pip --python /opt/mailroom/bin/python install \
        --no-cache-dir --require-hashes --requirement .ci/image.txt \
    && tools/bin/pip --python /opt/mailroom/bin/python install --no-cache-dir --no-deps wheels/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="mailroom" \
      org.opencontainers.image.description="Activation and password-reset mails from PostgreSQL through AWS SES" \
      org.opencontainers.image.licenses="MIT"
# No version is pinned, because Debian keeps only the newest in its archive, and an old pin would break the build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 mailroom \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mailroom \
    && install --directory --mode 0700 --owner 10001 --group 10001 /var/lib/mailroom
COPY --from=build /opt/mailroom /opt/mailroom
ENV PATH="/opt/mailroom/bin:${PATH}" \
    MAILROOM_SES_OUTPUT_PATH=/var/lib/mailroom
# Rows that could not be sent are written here, and must outlive the container.
VOLUME /var/lib/mailroom
WORKDIR /var/lib/mailroom
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001

# Checks that both programs run. The kernel keeps 15 characters of a program's name. An image in the OCI format, the
# default of buildah and podman, has no health check. Build it with --format docker, or configure the check where the
# image runs, as deploy does.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=2 \
    CMD ["sh", "-c", "grep -qsx mailroom-collec /proc/[0-9]*/comm && grep -qsx mailroom-send /proc/[0-9]*/comm"]

# -g: a signal reaches both programs, not only the shell.
ENTRYPOINT ["tini", "-g", "--"]
# The trap keeps the shell alive until both have ended, so that it exits with their status. Only the collector gets the
# signing key.
CMD ["bash", "-c", "trap : TERM INT; set -o pipefail; mailroom-collect | env -u MAILROOM_SECRET_KEY -u MAILROOM_SECRET_KEY_FILE mailroom-send"]
