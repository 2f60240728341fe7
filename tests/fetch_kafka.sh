#!/bin/sh
# Puts Apache Kafka's jars, the broker that the tests run against, into .cache/kafka/VERSION/.
#
# Maven copies the broker and its run-time dependencies from the configured registry; nothing is
# compiled or installed. Run it as often as you like: once the jars are there it does nothing and
# prints nothing. Needs mvn and Java 17 or newer; tests/kafka_broker.py runs the broker.
#
#   tests/fetch_kafka.sh            fetch, unless fetched
#   tests/fetch_kafka.sh --folder   print the folder, fetch nothing
set -eu

version=4.4.0
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder="$root/.cache/kafka/$version"

if [ "${1-}" = "--folder" ]; then
    printf '%s\n' "$folder"
    exit 0
fi
# The mark is written last: a fetch that was interrupted starts again.
if [ -f "$folder/complete" ]; then
    exit 0
fi
if ! command -v mvn >/dev/null 2>&1; then
    echo "fetch_kafka: mvn is not installed (Debian: apt-get install maven)" >&2
    exit 1
fi

rm -rf "$folder"
mkdir -p "$folder"
cat >"$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>chainwarden.tests</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-nop</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
POM
mvn -q -B -f "$folder/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$folder/jars" >"$folder/mvn.log" 2>&1 || {
    echo "fetch_kafka: Maven could not copy the jars:" >&2
    tail -n 5 "$folder/mvn.log" >&2
    exit 1
}
touch "$folder/complete"
