import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import com.typesafe.config.ConfigRenderOptions;
import com.typesafe.config.ConfigResolveOptions;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * Asks the reference implementation of HOCON. Each line of the standard input
 * is "text BASE64" or "file PATH"; each gets one line of answer, "ok JSON" or
 * "error CLASS: MESSAGE". The environment is not looked at.
 */
public class Reference {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(answer(line).replace('\n', ' ').replace('\r', ' '));
            out.flush();
        }
    }

    private static String answer(String line) {
        try {
            Config resolved = parse(line).resolve(ConfigResolveOptions.defaults().setUseSystemEnvironment(false));
            return "ok " + resolved.root().render(ConfigRenderOptions.concise());
        } catch (RuntimeException e) { // mostly ConfigException
            return "error " + e.getClass().getSimpleName() + ": " + e.getMessage();
        } catch (StackOverflowError e) {
            return "error StackOverflowError: ";
        }
    }

    private static Config parse(String line) {
        if (line.startsWith("file ")) {
            return ConfigFactory.parseFile(new File(line.substring(5)));
        }
        byte[] text = Base64.getDecoder().decode(line.substring(5));
        return ConfigFactory.parseString(new String(text, StandardCharsets.UTF_8));
    }
}
