package fhirsrs.hapi;

import java.util.Optional;

/**
 * What one run is told, by system properties ({@code -Dhapi.port=0 ...}); README.md lists them.
 *
 * @param bind address to listen on; loopback unless said otherwise
 * @param port 0 = any free one; the one taken is printed
 * @param pageCap most rows of a page, 0 = no cap
 * @param pageExpirySeconds how long an unread page lives, 0 = HAPI's own hour
 * @param reuseSeconds how long the answer of a search is given again to the same search, 0 = never
 * @param database {@code memory}, or the path of an H2 file without its ending
 * @param token if present, what every request but /metadata must bear
 * @param bulk whether {@code $export} is offered
 * @param logLevel of SLF4J: trace, debug, info, warn, error
 * @param parent process id to end with
 */
record Settings(
        String bind,
        int port,
        int pageCap,
        int pageExpirySeconds,
        int reuseSeconds,
        String database,
        Optional<String> token,
        boolean bulk,
        String logLevel,
        Optional<Long> parent) {

    /** HAPI reuses the answer of a search for a minute; kept, since a client has to live with it. */
    private static final int HAPI_REUSE_SECONDS = 60;

    static Settings fromSystemProperties() {
        return new Settings(
                System.getProperty("hapi.bind", "127.0.0.1"),
                Integer.getInteger("hapi.port", 8080),
                Integer.getInteger("hapi.page.cap", 0),
                Integer.getInteger("hapi.page.expiry", 0),
                Integer.getInteger("hapi.search.reuse", HAPI_REUSE_SECONDS),
                System.getProperty("hapi.database", "memory"),
                Optional.ofNullable(System.getProperty("hapi.token")),
                Boolean.getBoolean("hapi.bulk"),
                System.getProperty("hapi.log", "warn"),
                Optional.ofNullable(Long.getLong("hapi.parent")));
    }

    /** The JDBC address of the database. */
    String jdbcUrl() {
        // DB_CLOSE_DELAY: H2 would otherwise drop a memory database with its last connection.
        return database.equals("memory") ? "jdbc:h2:mem:hapi;DB_CLOSE_DELAY=-1" : "jdbc:h2:file:" + database;
    }
}
