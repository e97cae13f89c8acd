FROM python:3.11-slim
WORKDIR /srv/interlock
ENV PYTHONUNBUFFERED=1
COPY requirements/base.txt requirements/base.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/base.txt
COPY . .
RUN useradd --create-home interlock && mkdir -p .run && chown interlock .run
USER interlock
