package dev.trivium.examples;

import com.google.gson.JsonObject;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;

/** A call that came to no terminal: a gRPC status, and the reason that the gateway puts into the trailers. */
final class CallFailed extends RuntimeException {
  private static final Metadata.Key<String> REASON = key("trivium-reason");
  private static final Metadata.Key<String> FIELD = key("trivium-field");

  private final Status status;
  private final String reason;
  private final String field;
  final boolean asJson;

  CallFailed(StatusRuntimeException error, boolean asJson) {
    this.status = error.getStatus();
    this.reason = told(error.getTrailers(), REASON);
    this.field = told(error.getTrailers(), FIELD);
    this.asJson = asJson;
  }

  @Override
  public String getMessage() {
    String why = reason.isEmpty() ? "" : " [" + reason + " " + field + "]";
    return status.getCode() + ": " + details() + why;
  }

  String toJson() {
    JsonObject told = new JsonObject();
    told.addProperty("status", status.getCode().name());
    told.addProperty("message", details());
    told.addProperty("reason", reason);
    told.addProperty("field", field);
    return told.toString();
  }

  private String details() {
    Throwable cause = status.getCause();
    String said = status.getDescription() == null ? "" : status.getDescription();
    return cause == null || cause.getMessage() == null ? said : said + ": " + cause.getMessage();
  }

  private static String told(Metadata trailers, Metadata.Key<String> key) {
    String found = trailers == null ? null : trailers.get(key);
    return found == null ? "" : found;
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
