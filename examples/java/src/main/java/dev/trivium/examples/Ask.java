package dev.trivium.examples;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/** Puts questions to a Trivium mesh: over gRPC, or over Kafka. */
@Command(
    name = "ask",
    description = "Ask a Trivium mesh, over gRPC or over Kafka.",
    subcommands = {GrpcCommands.Complete.class, GrpcCommands.Stream.class, GrpcCommands.Cancel.class, KafkaCommand.class},
    mixinStandardHelpOptions = true,
    footer = {
      "",
      "Example: java -jar target/ask.jar stream --tenant acme --endpoint /auto \"What is never written to the cache?\"",
      "An API key is taken from TRIVIUM_KEY.",
      "Every command has --help. Exit status: 0 answered, 1 ended without an answer, 2 no end was seen."
    })
public final class Ask {
  public static final int ANSWERED = 0;
  public static final int UNANSWERED = 1;
  public static final int UNKNOWN = 2;

  private Ask() {}

  public static void main(String[] arguments) {
    CommandLine line = new CommandLine(new Ask());
    line.setOverwrittenOptionsAllowed(true);
    line.setExecutionExceptionHandler((error, at, parsed) -> report(error));
    System.exit(line.execute(arguments));
  }

  private static int report(Exception error) {
    if (error instanceof CallFailed failed && failed.asJson) {
      System.out.println(failed.toJson());
    } else {
      System.err.println(error.getMessage());
    }
    return UNKNOWN;
  }
}
