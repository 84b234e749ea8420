# Where this can't be reached, a mirror's name for it: --build-arg BASE_IMAGE=...
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS builder
# A mirror of PyPI, such as https://mirrors.aliyun.com/pypi/simple/. What comes from there has to have the pinned hashes.
ARG PIP_INDEX_URL
COPY requirements.txt /
# Without pip in it: the environment is filled from outside. kubernetes.aio is the whole client once more, for asyncio:
# a third of all, and nothing here imports it.
RUN python -m venv --without-pip /venv && \
    pip --python /venv/bin/python install --no-cache-dir --no-compile --require-hashes --requirement /requirements.txt && \
    rm -r /venv/lib/python3.*/site-packages/kubernetes/aio
WORKDIR /app
# The layout of the checkout: files are found relative to the code.
COPY hooks hooks
COPY lib lib
COPY schemas schemas
COPY metacontroller metacontroller
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app:/app/lib
# Bytecode of the code and of what it imports; not of the rest, which is most of it. None can be written later. It names
# the second of its source's last change, and layers round fractions: without them it stays valid.
RUN find /venv /app -name "*.py" -exec touch -d 2000-01-01 {} + && \
    python -m compileall -q hooks lib && \
    python -m poddnat simulate -f metacontroller/examples/fixed.yaml --values metacontroller/examples/values.yaml

# The Python of the image, less what installs more.
FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="poddnat" \
      org.opencontainers.image.description="Public ports for annotated pods, on Alibaba Cloud NAT gateways" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN pip uninstall --yes --root-user-action=ignore setuptools wheel pip
COPY --from=builder /venv /venv
COPY --from=builder /app /app
WORKDIR /app
# With tens of threads, glibc would keep up to sixteen heaps.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app:/app/lib PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "poddnat"]
