package dev.trivium.examples;

import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.trivium.v1.Request;
import dev.trivium.v1.Terminal;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Asks over Kafka: remembers where the replies end, publishes, and reads on until every question has its end. */
@Command(name = "publish", description = "Questions over Kafka, each answered once.")
final class KafkaCommand implements Callable<Integer> {
  private static final String REQUESTS = "trivium.requests";
  private static final int CONNECT_MS = 8_000;
  private static final Duration POLL = Duration.ofMillis(200);

  @Mixin Question question;

  @Option(names = "--kafka", defaultValue = "localhost:9092", paramLabel = "HOST:PORT", description = "A Kafka broker.")
  String kafka;

  @Option(names = "--replies", defaultValue = "trivium.responses", description = "The tenant's reply topic.")
  String replies;

  @Parameters(arity = "1..*", paramLabel = "QUESTION", description = "What to ask, each quoted.")
  List<String> prompts;

  private final Set<String> open = new HashSet<>();
  private final Set<String> ended = new HashSet<>();
  private int repeated;
  private int worst = Ask.ANSWERED;

  @Override
  public Integer call() throws Exception {
    try (var consumer = new KafkaConsumer<>(reading(), new StringDeserializer(), new ByteArrayDeserializer())) {
      readFromHere(consumer);
      publish();
      Instant deadline = Instant.now().plusMillis(question.timeoutMs() + CONNECT_MS);
      while (!open.isEmpty() && Instant.now().isBefore(deadline)) {
        for (ConsumerRecord<String, byte[]> reply : consumer.poll(POLL)) {
          take(reply);
        }
      }
    } catch (KafkaException error) {
      throw new IllegalStateException(kafka + " and the reply topic " + replies + ": " + error.getMessage(), error);
    }
    if (!open.isEmpty()) {
      throw new IllegalStateException(open.size() + " questions have no end yet; they go on in the mesh: " + open);
    }
    count();
    return worst;
  }

  private Map<String, Object> reading() {
    // The embedded broker answers a fetch only when its longest wait is over; a real one answers at once.
    return Map.of(
        "bootstrap.servers", kafka, "default.api.timeout.ms", CONNECT_MS, "request.timeout.ms", CONNECT_MS / 2,
        "fetch.max.wait.ms", 100, "enable.auto.commit", false);
  }

  /** Needs no consumer group: a reply is for whoever asked, so every asker reads the whole topic from its ends of now. */
  private void readFromHere(KafkaConsumer<String, byte[]> consumer) {
    List<TopicPartition> partitions = consumer.partitionsFor(replies).stream()
        .map(found -> new TopicPartition(found.topic(), found.partition()))
        .toList();
    consumer.assign(partitions);
    consumer.endOffsets(partitions).forEach(consumer::seek);
  }

  private void publish() throws InterruptedException {
    Map<String, Object> writing = Map.of("bootstrap.servers", kafka, "max.block.ms", CONNECT_MS);
    try (var producer = new KafkaProducer<>(writing, new StringSerializer(), new ByteArraySerializer())) {
      for (int number = 1; number <= prompts.size(); number++) {
        var record = record(question.request(question.id + "-" + number, prompts.get(number - 1)));
        producer.send(record).get();
        open.add(record.key());
      }
    } catch (ExecutionException error) {
      throw new IllegalStateException("the broker did not take a request: " + error.getCause().getMessage(), error);
    }
  }

  /**
   * The key is the identity, and Kafka's own partitioner takes murmur2 of it: all of a request has one home. The header
   * says how the value is written, and the answer comes in the same form. With an API key in the environment it is signed.
   */
  private static ProducerRecord<String, byte[]> record(Request request) {
    var record = new ProducerRecord<>(REQUESTS, request.getTenant() + "/" + request.getId(), request.toByteArray());
    add(record, "content-type", "application/protobuf");
    add(record, "schema", "trivium.v1.Request");
    String apiKey = System.getenv("TRIVIUM_KEY");
    if (apiKey != null && !apiKey.isEmpty()) {
      add(record, "trivium-signature", Signature.of(apiKey, request, record.value()));
    }
    return record;
  }

  private static void add(ProducerRecord<String, byte[]> record, String header, String text) {
    record.headers().add(header, text.getBytes(StandardCharsets.US_ASCII));
  }

  /** Takes the first terminal of each identity. A crash in the mesh may write one twice; the first counts. */
  private void take(ConsumerRecord<String, byte[]> reply) throws InvalidProtocolBufferException {
    if (ended.contains(reply.key())) {
      repeated++;
    }
    if (open.remove(reply.key())) {
      ended.add(reply.key());
      worst = Math.max(worst, Terminals.print(Terminal.parseFrom(reply.value()), question.asJson, false));
    }
  }

  private void count() {
    if (question.asJson) {
      JsonObject counts = new JsonObject();
      counts.addProperty("published", prompts.size());
      counts.addProperty("terminals", ended.size());
      counts.addProperty("repeated", repeated);
      System.out.println(counts);
    } else {
      System.err.printf("%d published, %d ended, %d repetitions left out%n", prompts.size(), ended.size(), repeated);
    }
  }
}
