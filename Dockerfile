FROM python:3.11-slim AS builder
COPY requirements.txt /
# Without pip in it: the environment is filled from outside.
RUN python -m venv --without-pip /venv && \
    pip --python /venv/bin/python install --no-cache-dir --require-hashes --requirement /requirements.txt

# The Python of the image, less what installs more.
FROM python:3.11-slim
RUN pip uninstall --yes --root-user-action=ignore setuptools wheel pip
COPY --from=builder /venv /venv
WORKDIR /app
# The layout of the checkout: files are found relative to the code.
COPY hooks hooks
COPY lib lib
COPY schemas schemas
COPY metacontroller metacontroller
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app:/app/lib PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "poddnat"]
