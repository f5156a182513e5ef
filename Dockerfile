# Both programs, joined by a pipe. Build: docker build -t mailroom .
#
#   docker run --env-file FILE mailroom mailroom-collect migrate   once, and after each upgrade
#   docker run --env-file FILE mailroom                            the pipeline
#
# Stop it with `docker stop --time 30`: a call to SES that is begun may take half a lease (15 s)
# to end, and Docker kills after 10 s.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
# Its own layer: a change of our code does not fetch the build tool again.
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
# A venv without pip, and the very files of the versions that the tests last passed with, by their hashes.
RUN tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
    && python -m venv --without-pip /opt/mailroom \
    && tools/bin/pip --python /opt/mailroom/bin/python install \
        --no-cache-dir --require-hashes --requirement .ci/image.txt \
    && tools/bin/pip --python /opt/mailroom/bin/python install --no-cache-dir --no-deps wheels/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="mailroom" \
      org.opencontainers.image.description="Activation and password-reset mails from PostgreSQL through AWS SES" \
      org.opencontainers.image.licenses="MIT"
# No version is named: Debian keeps only its newest in the archive, so an old pin breaks the build.
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
# What could not be sent is written here, and must outlive the container.
VOLUME /var/lib/mailroom
WORKDIR /var/lib/mailroom
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001

# Are both alive? The kernel keeps 15 characters of a program's name. An image in the OCI format, the default of buildah
# and podman, has no health check: build it with --format docker, or give the check to what runs it, as deploy does.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=2 \
    CMD ["sh", "-c", "grep -qsx mailroom-collec /proc/[0-9]*/comm && grep -qsx mailroom-send /proc/[0-9]*/comm"]

# -g: a signal reaches both programs, not only the shell.
ENTRYPOINT ["tini", "-g", "--"]
# The trap keeps the shell until both have ended, so that its exit status is theirs. The signing key is the collector's.
CMD ["bash", "-c", "trap : TERM INT; set -o pipefail; mailroom-collect | env -u MAILROOM_SECRET_KEY -u MAILROOM_SECRET_KEY_FILE mailroom-send"]
