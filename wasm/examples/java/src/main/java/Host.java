import com.dylibso.chicory.compiler.MachineFactoryCompiler;
import com.dylibso.chicory.runtime.Instance;
import com.dylibso.chicory.wasm.Parser;
import com.dylibso.chicory.wasm.WasmModule;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** A host of load-balancing plugins in Java, on Chicory: plays transcripts against a module. */
final class Host {
    private static Instance guest;

    private static long call(String name, long... arguments) {
        long[] results = guest.export("lb_" + name).apply(arguments);
        return results == null || results.length == 0 ? 0 : results[0];
    }

    private static long place(byte[] bytes) {
        long at = call("alloc", bytes.length);
        guest.memory().write((int) at, bytes);
        return at;
    }

    private static ByteBuffer buffer(int length) {
        return ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static int text(List<byte[]> texts, String word) {
        if (word.equals("-")) {
            return 0;
        }
        texts.add(word.getBytes(StandardCharsets.UTF_8));
        return texts.size() - 1;
    }

    /** Writes instances (id hash weight joined zone cluster flags) as wasm/ABI.md lays them out. */
    private static byte[] table(List<String[]> rows) {
        List<byte[]> texts = new ArrayList<>(List.of(new byte[0]));
        ByteBuffer records = buffer(64 * rows.size());
        for (String[] r : rows) {
            records.putLong(Long.parseUnsignedLong(r[2])).putDouble(Double.parseDouble(r[3])).putLong(Long.parseLong(r[4]));
            records.putInt(text(texts, r[5])).putInt(text(texts, r[6])).putInt(Integer.parseInt(r[7]));
            records.put(new byte[20]).putInt(text(texts, r[1])).putInt(0);
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        int at = records.capacity() + 8 + 8 * texts.size();
        ByteBuffer head = buffer(8 + 8 * texts.size()).putInt(0).putInt(texts.size());
        for (byte[] word : texts) {
            head.putInt(at).putInt(word.length);
            bytes.writeBytes(word);
            at += word.length;
        }
        head.putInt(0, at - records.capacity());
        return buffer(at).put(records.array()).put(head.array()).put(bytes.toByteArray()).array();
    }

    public static void main(String[] arguments) throws Exception {
        WasmModule module = Parser.parse(new File(arguments[0]));
        // To bytecode of the JVM, once; without it Chicory interprets.
        var machine = MachineFactoryCompiler.compile(module);
        long passed = 0, failed = 0, at = 0;
        try (BufferedReader lines = Files.newBufferedReader(Path.of(arguments[1]))) {
            for (String line; (line = lines.readLine()) != null; ) {
                String[] f = line.split(" ");
                long got = 0, wanted = 0;
                switch (f[0]) {
                    case "init" -> {
                        guest = Instance.builder(module).withMachineFactory(machine).build();
                        byte[] config = line.substring(5).getBytes(StandardCharsets.UTF_8);
                        got = call("init", place(config), config.length);
                    }
                    case "list" -> {
                        List<String[]> rows = new ArrayList<>();
                        for (int n = Integer.parseInt(f[2]); n > 0; n--) {
                            rows.add(lines.readLine().split(" "));
                        }
                        at = place(table(rows));
                        got = call("update", at, rows.size(), Long.parseLong(f[1]));
                    }
                    case "flags" -> guest.memory().writeI32((int) at + 64 * Integer.parseInt(f[1]) + 32, Integer.parseInt(f[2]));
                    case "draws" -> {
                        byte[] script = HexFormat.of().parseHex(f[1].replace("-", ""));
                        got = (int) call("draws", place(script), script.length);
                        wanted = Long.parseLong(f[2]);
                    }
                    case "pick" -> {
                        got = (int) call("choose", number(f[1]), number(f[2]), number(f[3]), number(f[4]));
                        wanted = Long.parseLong(f[5]);
                    }
                    case "many" -> {
                        long rand = number(f[2]);
                        for (long i = 0; i < number(f[1]); i++, rand += 0xd1342543de82ef95L) {
                            got += (i % 1000 + 1) * ((int) call("choose", 0, rand, number(f[3]), 0) + 2);
                        }
                        wanted = number(f[4]);
                    }
                    case "start" -> call("start", number(f[1]), number(f[2]));
                    case "report" -> call("report", number(f[1]), number(f[2]), number(f[3]), number(f[4]));
                    default -> { }
                }
                passed += got == wanted ? 1 : 0;
                if (got != wanted && ++failed < 10) {
                    System.out.println("expected " + wanted + ", got " + got + ": " + line);
                }
            }
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit((int) Math.min(failed, 1));
    }

    private static long number(String text) {
        return Long.parseUnsignedLong(text);
    }
}
