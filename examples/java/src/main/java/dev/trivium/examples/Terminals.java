package dev.trivium.examples;

import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import dev.trivium.v1.Terminal;
import java.util.Locale;

/** How answers are shown. */
final class Terminals {
  private static final JsonFormat.Printer JSON =
      JsonFormat.printer().preservingProtoFieldNames().omittingInsignificantWhitespace();

  private Terminals() {}

  /** Shows how a request ended and gives the exit status. {@code shown}: its text was shown already. */
  static int print(Terminal terminal, boolean asJson, boolean shown) {
    if (asJson) {
      System.out.println(json(terminal));
    } else {
      if (!shown && terminal.hasAnswer()) {
        System.out.println(terminal.getAnswer().getText());
      }
      System.out.printf("%n%s: %s%n", terminal.getIdentity().getId(), summary(terminal));
    }
    return terminal.getKind().equals("answered") ? Ask.ANSWERED : Ask.UNANSWERED;
  }

  static void printPiece(String piece, boolean asJson) {
    if (asJson) {
      JsonObject delta = new JsonObject();
      delta.addProperty("delta", piece);
      System.out.println(delta);
    } else {
      System.out.print(piece);
    }
    System.out.flush();
  }

  private static String json(Terminal terminal) {
    try {
      return JSON.print(terminal);
    } catch (InvalidProtocolBufferException error) {
      throw new IllegalStateException(error); // only a message with Any in it can fail
    }
  }

  private static String summary(Terminal terminal) {
    if (terminal.hasReason()) {
      var reason = terminal.getReason();
      String hint = reason.getHint().isEmpty() ? "" : "; " + reason.getHint();
      return "%s (%s): %s%s".formatted(terminal.getKind(), reason.getCode(), reason.getMessage(), hint);
    }
    String by = terminal.getTarget().isEmpty() ? terminal.getTier() : terminal.getTarget();
    return String.format(
        Locale.ROOT, "%s by %s in %d ms for $%.6f",
        terminal.getKind(), by, terminal.getEndedMs() - terminal.getArrivedMs(), terminal.getCostMicroDollars() / 1e6);
  }
}
