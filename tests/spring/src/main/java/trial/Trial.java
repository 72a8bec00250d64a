package trial;

import java.util.List;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.client.RestTemplateBuilder;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.cloud.client.loadbalancer.LoadBalanced;
import org.springframework.cloud.context.config.annotation.RefreshScope;
import org.springframework.context.annotation.Bean;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestTemplate;

/** Says what a config tells it to, and calls its like by the name of their service. */
@SpringBootApplication
public class Trial {
    public static void main(String[] args) {
        SpringApplication.run(Trial.class, args);
    }

    @Bean
    @LoadBalanced
    RestTemplate byName(RestTemplateBuilder builder) {
        return builder.build();
    }
}

@RestController
@RefreshScope
class Greeting {
    @Value("${greeting}")
    String greeting;

    @GetMapping("/greeting")
    String greeting() {
        return greeting;
    }
}

@RestController
class Calls {
    private final DiscoveryClient discovery;
    private final RestTemplate byName;
    @Value("${server.port}")
    String port;

    Calls(DiscoveryClient discovery, RestTemplate byName) {
        this.discovery = discovery;
        this.byName = byName;
    }

    @GetMapping("/who")
    String who() {
        return port;
    }

    @GetMapping("/instances")
    String instances() {
        List<Integer> ports = discovery.getInstances("trial").stream().map(i -> i.getPort()).sorted().toList();
        return ports.toString();
    }

    @GetMapping("/call")
    String call() {
        return byName.getForObject("http://trial/who", String.class);
    }
}
