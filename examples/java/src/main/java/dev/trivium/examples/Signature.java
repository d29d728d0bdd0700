package dev.trivium.examples;

import dev.trivium.v1.Request;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Says whose request a record is, for a tenant that must sign: docs/security.md has it in words. */
final class Signature {
  private static final int ID_CHARS = 12;

  private Signature() {}

  static String of(String apiKey, Request request, byte[] value) {
    try {
      byte[] secret = hmac(utf8(apiKey)).doFinal(utf8("trivium signing secret v1"));
      Mac signed = hmac(secret);
      for (byte[] part : List.of(
          utf8("trivium request v1"), utf8(request.getTenant()), utf8(request.getId()),
          utf8(Integer.toUnsignedString(request.getReplay())), sha256(value))) {
        signed.update(utf8(part.length + ":"));
        signed.update(part);
      }
      HexFormat hex = HexFormat.of();
      String id = hex.formatHex(sha256(utf8(apiKey))).substring(0, ID_CHARS);
      return "v1 " + id + " " + hex.formatHex(signed.doFinal());
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error); // every Java has SHA-256
    }
  }

  private static Mac hmac(byte[] key) throws GeneralSecurityException {
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(key, "HmacSHA256"));
    return mac;
  }

  private static byte[] sha256(byte[] data) throws GeneralSecurityException {
    return MessageDigest.getInstance("SHA-256").digest(data);
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
