package dev.trivium.examples;

import dev.trivium.v1.Request;
import java.util.UUID;
import picocli.CommandLine.Option;

/** The options of every command that asks. */
final class Question {
  @Option(names = "--tenant", defaultValue = "acme", description = "Who asks (${DEFAULT-VALUE}).")
  String tenant;

  @Option(names = "--endpoint", defaultValue = "/auto", description = "What kind of work; /auto lets the mesh find out.")
  String endpoint;

  @Option(names = "--id", description = "Request id, yours to choose; the same id again is the same request.")
  String id = "java-" + UUID.randomUUID();

  @Option(names = "--timeout", defaultValue = "30", paramLabel = "SECONDS", description = "How long an answer may take.")
  double seconds;

  @Option(names = "--json", description = "Print JSON.")
  boolean asJson;

  @Option(names = {"-h", "--help"}, usageHelp = true, description = "Show this.")
  boolean help;

  long timeoutMs() {
    return Math.max(1, Math.round(seconds * 1000));
  }

  /** What both doors take. */
  Request request(String id, String prompt) {
    return Request.newBuilder()
        .setTenant(tenant)
        .setId(id)
        .setEndpoint(endpoint)
        .setPrompt(prompt)
        .setTimeoutMs((int) timeoutMs())
        .build();
  }
}
