import com.netflix.loadbalancer.*;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;

/** Nanoseconds a choice of Ribbon's own rules: `Ribbon SIZE…` prints a line `RULE SIZE NS` for each. */
public final class Ribbon {
    /** A rule whose one choice takes longer is not asked with a longer list: it may take minutes. */
    static final long PATIENCE_NS = 100_000_000L;
    /** All rounds of one figure, if they are long. */
    static final long MOST_NS = 4_000_000_000L;
    static final long WARM_UP_NS = 400_000_000L;
    static final long ROUND_NS = 2_000_000L;
    static final int ROUNDS = 60;
    static int sink;

    public static void main(String[] sizes) {
        Map<String, Supplier<IRule>> rules = new TreeMap<>();
        rules.put("round-robin", RoundRobinRule::new);
        rules.put("random", RandomRule::new);
        rules.put("retry", RetryRule::new);
        rules.put("availability", AvailabilityFilteringRule::new);
        rules.put("least-active", BestAvailableRule::new);
        rules.put("response-time", WeightedResponseTimeRule::new);
        rules.put("response-time-deprecated", ResponseTimeWeightedRule::new);
        rules.put("zone-avoidance", ZoneAvoidanceRule::new);
        for (var rule : rules.entrySet()) {
            double ns = 0;
            for (int n = 0; n < sizes.length && ns < PATIENCE_NS; n++) {
                ns = measure(rule.getValue().get(), Integer.parseInt(sizes[n]));
                System.out.println(rule.getKey() + " " + sizes[n] + " " + ns);
            }
        }
        System.exit(sink == 42 ? 1 : 0);
    }

    /** The least of short rounds, as the program that starts this one measures. */
    static double measure(IRule rule, int size) {
        BaseLoadBalancer balancer = new DynamicServerListLoadBalancer<Server>();
        List<Server> servers = new ArrayList<>();
        for (int n = 0; n < size; n++) {
            Server server = new Server("10." + (n >> 16) + "." + (n >> 8 & 255) + "." + (n & 255), 8080);
            server.setZone("z" + (char) ('a' + n % 3));
            servers.add(server);
            balancer.getLoadBalancerStats().getSingleServerStat(server).noteResponseTime(10 + n % 50);
        }
        // The rule weighs response times when it gets its balancer.
        balancer.setServersList(servers);
        balancer.setRule(rule);
        long began = System.nanoTime();
        long calls = 0;
        while (System.nanoTime() - began < WARM_UP_NS) {
            sink += balancer.chooseServer(null).getPort();
            calls++;
        }
        long once = Math.max(1, (System.nanoTime() - began) / calls);
        int batch = (int) Math.max(1, ROUND_NS / once);
        double best = Double.MAX_VALUE;
        began = System.nanoTime();
        for (int round = 0; round < ROUNDS && System.nanoTime() - began < MOST_NS; round++) {
            long from = System.nanoTime();
            for (int n = 0; n < batch; n++) sink += balancer.chooseServer(null).getPort();
            best = Math.min(best, (System.nanoTime() - from) / (double) batch);
        }
        return best;
    }
}
