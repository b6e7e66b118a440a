package fhirsrs.hapi;

import ca.uhn.fhir.rest.server.RestfulServer;
import java.io.IOException;
import java.nio.file.Files;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.Context;
import org.apache.catalina.LifecycleException;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * A HAPI FHIR R4 server with its own database, as one process: plain Spring, an embedded Tomcat, no Spring Boot.
 *
 * <p>Prints {@code listening on http://ADDRESS:PORT/fhir} when the port is open. Exits with 1 if it cannot start,
 * and ends with its parent if told its process id.
 */
public final class Main {

    private Main() {}

    public static void main(String[] arguments) {
        Settings settings = Settings.fromSystemProperties();
        quieten(settings.logLevel());
        settings.parent().ifPresent(Main::endWith);
        try {
            run(settings);
        } catch (Throwable failure) { // whatever it is: the pools below are no daemons and would hang for ever
            failure.printStackTrace();
            System.exit(1);
        }
    }

    private static void run(Settings settings) throws Exception {
        AnnotationConfigApplicationContext beans = new AnnotationConfigApplicationContext(Beans.class);
        Tomcat tomcat = tomcat(settings, Servlet.of(beans, settings));
        tomcat.start();
        int port = tomcat.getConnector().getLocalPort();
        if (port < 0) { // a taken port is only logged by Tomcat
            throw new IOException("cannot listen on " + settings.bind() + ":" + settings.port());
        }
        Chores.start(beans, settings);
        System.out.println("listening on http://" + settings.bind() + ":" + port + "/fhir");
    }

    private static Tomcat tomcat(Settings settings, RestfulServer server) throws IOException, LifecycleException {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("hapi-tomcat").toString());
        tomcat.setConnector(connector(settings));
        Context root = tomcat.addContext("", null);
        Tomcat.addServlet(root, "fhir", server).setLoadOnStartup(1);
        root.addServletMappingDecoded("/fhir/*", "fhir");
        return tomcat;
    }

    private static Connector connector(Settings settings) {
        Connector connector = new Connector();
        connector.setPort(settings.port());
        connector.setProperty("address", settings.bind());
        // FHIR's token search is `system|code`, which many clients send as it is; Tomcat refuses a raw bar.
        connector.setProperty("relaxedQueryChars", "|");
        return connector;
    }

    /** Before the first logger is made: both logging systems read their level once. */
    private static void quieten(String level) {
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", level);
        if (level.equals("error") || level.equals("warn")) {
            Logger.getLogger("").setLevel(Level.WARNING); // Tomcat's
        }
    }

    /** A test run that is killed cannot stop its server: the server notices by itself. */
    private static void endWith(long parent) {
        ProcessHandle.of(parent).ifPresentOrElse(
                process -> process.onExit().thenRun(() -> Runtime.getRuntime().halt(0)),
                () -> Runtime.getRuntime().halt(0));
    }
}
