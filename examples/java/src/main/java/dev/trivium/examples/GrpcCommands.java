package dev.trivium.examples;

import dev.trivium.v1.CancelRequest;
import dev.trivium.v1.CompletionEvent;
import dev.trivium.v1.GatewayGrpc;
import dev.trivium.v1.GatewayGrpc.GatewayBlockingStub;
import dev.trivium.v1.Identity;
import io.grpc.ChannelCredentials;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.util.Iterator;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The commands that speak gRPC. */
final class GrpcCommands {
  private static final Metadata.Key<String> IDEMPOTENCY_KEY = key("idempotency-key");
  private static final Metadata.Key<String> AUTHORIZATION = key("authorization");

  private GrpcCommands() {}

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  /** What the three have in common: a channel, a deadline, and errors that say what was wrong. */
  abstract static class Call implements Callable<Integer> {
    @Mixin Question question;

    @Option(names = "--gateway", defaultValue = "localhost:7300", paramLabel = "HOST:PORT", description = "The gateway.")
    String gateway;

    @Parameters(paramLabel = "QUESTION", description = "What to ask, quoted; for cancel, the id.")
    String argument;

    @Option(names = "--ca", paramLabel = "FILE", description = "The CA that signed its certificate; none: plain text.")
    File ca;

    final Metadata metadata = new Metadata();

    abstract int call(GatewayBlockingStub stub);

    @Override
    public Integer call() throws IOException {
      String key = System.getenv("TRIVIUM_KEY");
      if (key != null && !key.isEmpty()) {
        metadata.put(AUTHORIZATION, "Bearer " + key);
      }
      ManagedChannel channel = Grpc.newChannelBuilder(gateway, trust()).build();
      try {
        // The deadline travels with the call: everything behind the gateway keeps to it. A call without one is refused.
        return call(GatewayGrpc.newBlockingStub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata))
            .withDeadlineAfter(question.timeoutMs(), TimeUnit.MILLISECONDS));
      } catch (StatusRuntimeException error) {
        throw new CallFailed(error, question.asJson);
      } finally {
        channel.shutdownNow();
      }
    }

    private ChannelCredentials trust() throws IOException {
      if (ca == null) {
        return InsecureChannelCredentials.create();
      }
      return TlsChannelCredentials.newBuilder().trustManager(ca).build();
    }
  }

  /** One call, one terminal. A refused or failed request is a terminal too, not an error. */
  @Command(name = "ask", description = "One question over gRPC, its whole answer.")
  static final class Complete extends Call {
    @Option(names = "--durable", description = "Through the log: the question survives the gateway.")
    boolean durable;

    @Override
    int call(GatewayBlockingStub stub) {
      if (durable) {
        metadata.put(IDEMPOTENCY_KEY, question.id);
      }
      return Terminals.print(stub.complete(question.request(question.id, argument)), question.asJson, false);
    }
  }

  /** Pieces as they come, then exactly one terminal. Cancelling the context of the call stops the model. */
  @Command(name = "stream", description = "The same, piece by piece; Ctrl-C cancels it and stops the model.")
  static final class Stream extends Call {
    @Override
    int call(GatewayBlockingStub stub) {
      Context.CancellableContext context = Context.current().withCancellation();
      Interrupt.cancels(context);
      try {
        return context.call(() -> read(stub.completeStream(question.request(question.id, argument))));
      } catch (RuntimeException error) {
        throw error;
      } catch (Exception error) {
        throw new IllegalStateException(error);
      } finally {
        context.cancel(null);
      }
    }

    private int read(Iterator<CompletionEvent> events) {
      while (events.hasNext()) {
        CompletionEvent event = events.next();
        if (event.hasTerminal()) {
          return Terminals.print(event.getTerminal(), question.asJson, true);
        }
        Terminals.printPiece(event.getDelta(), question.asJson);
      }
      throw new IllegalStateException("the stream ended without a terminal: what came is no answer");
    }
  }

  /** For who does not hold the call. It ends in the terminal {@code failed}, reason {@code cancelled}. */
  @Command(name = "cancel", description = "Cancel a question that somebody else is asking.")
  static final class Cancel extends Call {
    @Override
    int call(GatewayBlockingStub stub) {
      Identity identity = Identity.newBuilder().setTenant(question.tenant).setId(argument).build();
      System.out.println(stub.cancel(CancelRequest.newBuilder().setIdentity(identity).build()).getState());
      return Ask.ANSWERED;
    }
  }
}
