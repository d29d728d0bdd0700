package dev.trivium.examples;

import io.grpc.Context;
import java.util.concurrent.CancellationException;

/** Ctrl-C. */
final class Interrupt {
  private static final long FAREWELL_MS = 500;

  private Interrupt() {}

  /** Cancels a call when the process is told to stop, and leaves it a moment to say so to the gateway. */
  static void cancels(Context.CancellableContext context) {
    Thread main = Thread.currentThread();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      if (context.isCancelled()) {
        return;
      }
      context.cancel(new CancellationException("interrupted"));
      try {
        main.join(FAREWELL_MS);
      } catch (InterruptedException ignored) {
        Thread.currentThread().interrupt();
      }
    }));
  }
}
